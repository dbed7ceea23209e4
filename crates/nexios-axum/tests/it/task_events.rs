//! The stream of task events: one watcher for all, and the end of everything that was shown.

use std::{collections::BTreeMap, time::Duration};

use axum::{Router, body::Body, response::Response};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use nexios::{Background, BackgroundTask};
use nexios_axum::{TaskRoutes, task_routes};
use serde_json::Value;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tower::ServiceExt;

use crate::answer::{Answer, get};

struct Events(Body, String);

async fn events(app: &Router) -> Events {
    let response: Response = app.clone().oneshot(get("/tasks/events")).await.unwrap();
    assert_eq!(response.status(), 200);
    Events(response.into_body(), String::new())
}

impl Events {
    /// The next event; none if none comes for a while.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.1.split_once("\n\n") {
                let data = event
                    .lines()
                    .find_map(|line| line.strip_prefix("data: "))
                    .map(str::to_owned);
                self.1 = rest.to_owned();
                match data {
                    Some(data) => return Some(serde_json::from_str(&data).unwrap()),
                    None => continue,
                }
            }
            let frame = timeout(Duration::from_secs(5), self.0.frame())
                .await
                .ok()??;
            let bytes = frame.unwrap().into_data().unwrap();
            self.1.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// All events until none comes for a while: the states that each task was shown in.
    async fn all(&mut self) -> BTreeMap<u64, Vec<String>> {
        let mut states = BTreeMap::<u64, Vec<String>>::new();
        while let Some(event) = self.next().await {
            let state = event["state"].as_str().unwrap().to_owned();
            states
                .entry(event["id"].as_u64().unwrap())
                .or_default()
                .push(state);
        }
        states
    }
}

/// Starts tasks that end together.
fn tasks(background: &Background, count: usize) -> (watch::Sender<bool>, Vec<BackgroundTask<()>>) {
    let (end, ended) = watch::channel(false);
    let task = |_| {
        let mut ended = ended.clone();
        let work = move |_| async move {
            let _ = ended.wait_for(|ended| *ended).await;
        };
        background.spawn("task", work).unwrap()
    };
    (end, (0..count).map(task).collect())
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_live_tasks_then_changes_and_ends() {
    let background = Background::new();
    background
        .spawn("before", |_| async {})
        .unwrap()
        .await
        .unwrap();
    let app = task_routes(background.clone());
    let task = background
        .spawn("import", |task| async move {
            sleep(Duration::from_secs(1)).await;
            task.progress(1, 2);
            sleep(Duration::from_secs(1)).await;
        })
        .unwrap();
    let mut events = events(&app).await;
    for (state, done) in [("running", 0), ("running", 1), ("completed", 1)] {
        let event = events.next().await.unwrap();
        assert_eq!(
            (&event["name"], &event["state"], &event["done"]),
            (&"import".into(), &state.into(), &done.into())
        );
    }
    assert_eq!(
        events.next().await,
        None,
        "what had ended before is no news"
    );
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_that_a_task_was_asked_to_end() {
    let background = Background::new();
    let app = task_routes(background.clone());
    let task = background
        .spawn("cleans up", |task| async move {
            task.cancelled().await;
            sleep(Duration::from_secs(1)).await;
        })
        .unwrap();
    let mut events = events(&app).await;
    assert_eq!(events.next().await.unwrap()["cancelling"], Value::Null);
    task.cancel();
    for (state, cancelling) in [("running", "requested".into()), ("completed", Value::Null)] {
        let event = events.next().await.unwrap();
        assert_eq!(
            (&event["state"], &event["cancelling"]),
            (&state.into(), &cancelling)
        );
    }
    task.await.unwrap();
}

/// More end at once than the history keeps.
#[tokio::test(start_paused = true)]
async fn a_stream_tells_the_end_of_everything_it_showed() {
    for history in [0, 3] {
        let background = Background::builder().history(history).build();
        let app = task_routes(background.clone());
        let (end, tasks) = tasks(&background, 20);
        let mut events = events(&app).await;
        let shown = events.all().await;
        assert_eq!(shown.len(), 20);
        end.send(true).unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        let ended = events.all().await;
        assert_eq!(ended.len(), 20, "history {history}: {ended:?}");
        assert!(
            ended.values().all(|states| states == &["completed"]),
            "{ended:?}"
        );
    }
}

/// A client that stops to read for a while is told the last of everything, not all of it.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_told_the_latest_and_every_end() {
    let background = Background::builder().history(1).build();
    let app = task_routes(background.clone());
    let (end, first) = tasks(&background, 5);
    let mut events = events(&app).await;
    assert_eq!(events.all().await.len(), 5);
    let ticking = background
        .spawn("ticking", |task| async move {
            for tick in 0..10_000 {
                task.progress(tick, 10_000);
                sleep(Duration::from_millis(300)).await;
            }
        })
        .unwrap();
    end.send(true).unwrap();
    for task in first {
        task.await.unwrap();
    }
    for _ in 0..50 {
        // These come and go, and nobody is shown them.
        let (end, tasks) = tasks(&background, 20);
        sleep(Duration::from_secs(1)).await;
        end.send(true).unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
    }
    let mut ends = 0;
    for _ in 0..7 {
        let event = events.next().await.unwrap();
        ends += usize::from(event["state"] == "completed");
    }
    assert_eq!(ends, 5);
    drop(ticking);
}

#[tokio::test(start_paused = true)]
async fn streams_beyond_the_limit_are_503_and_a_place_is_free_again_when_one_ends() {
    let app = TaskRoutes::new(Background::new()).streams(2).into_router();
    let first = events(&app).await;
    let _second = events(&app).await;
    let refused: Response = app.clone().oneshot(get("/tasks/events")).await.unwrap();
    assert_eq!(refused.status(), 503);
    let refused = Answer::of(refused).await;
    refused.problem(503);
    assert_eq!(refused.header("retry-after"), Some("10"));
    drop(first);
    let _third = events(&app).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_after_all_have_left_is_told_everything_again() {
    let background = Background::new();
    let app = task_routes(background.clone());
    let (end, tasks) = tasks(&background, 1);
    for _ in 0..3 {
        let mut events = events(&app).await;
        assert_eq!(events.all().await.len(), 1);
        drop(events);
        sleep(Duration::from_secs(1)).await;
    }
    let (mut one, mut other) = (events(&app).await, events(&app).await);
    assert_eq!((one.all().await.len(), other.all().await.len()), (1, 1));
    end.send(true).unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let ended = vec!["completed".to_owned()];
    assert_eq!(one.all().await.into_values().next(), Some(ended.clone()));
    assert_eq!(other.all().await.into_values().next(), Some(ended));
}

/// How often each stream is polled while nothing happens: no more than its keep-alive asks for.
#[tokio::test(start_paused = true)]
async fn streams_are_left_alone_while_nothing_happens() {
    let background = Background::new();
    for _ in 0..100 {
        background
            .spawn("ended", |_| async {})
            .unwrap()
            .await
            .unwrap();
    }
    let (_end, _tasks) = tasks(&background, 1);
    let app = task_routes(background);
    let polls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    for _ in 0..100 {
        let response: Response = app.clone().oneshot(get("/tasks/events")).await.unwrap();
        let mut body = response.into_body().into_data_stream();
        let polls = polls.clone();
        tokio::spawn(std::future::poll_fn(move |cx| {
            polls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            while body.poll_next_unpin(cx).is_ready() {}
            std::task::Poll::<()>::Pending
        }));
    }
    sleep(Duration::from_secs(1)).await;
    let before = polls.load(std::sync::atomic::Ordering::Relaxed);
    sleep(Duration::from_secs(60)).await;
    let polled = polls.load(std::sync::atomic::Ordering::Relaxed) - before;
    assert!(
        polled <= 100 * 60 / 15 + 100,
        "{polled} polls of 100 streams in a minute"
    );
}
