//! What changes, as it is told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, BodyDataStream},
    http::{StatusCode, request::Parts},
};
use futures_util::StreamExt;
use nexios::observe::{self, CustomWork, Update};
use nexios_console::{Access, Console};
use nexios_jobs::{JobContext, Jobs, Kind, Policy};
use tower::ServiceExt;

use crate::asking::{nested, request};

/// One client, and what it has not read yet.
struct Client {
    body: BodyDataStream,
    text: String,
    events: VecDeque<Event>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    id: String,
    name: String,
    data: String,
}

impl Client {
    async fn try_connect(
        router: &Router,
        topics: &str,
        last: Option<&str>,
    ) -> Result<Self, axum::response::Response> {
        let header = [("last-event-id", last.unwrap_or_default())];
        let request = request("GET", &format!("/nexios/events?topics={topics}"), &header);
        let answer = router.clone().oneshot(request).await.unwrap();
        if answer.status() != StatusCode::OK {
            return Err(answer);
        }
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-store"),
            ("x-accel-buffering", "no"),
        ] {
            assert_eq!(answer.headers()[name], value);
        }
        let body: Body = answer.into_body();
        Ok(Self {
            body: body.into_data_stream(),
            text: String::new(),
            events: VecDeque::new(),
        })
    }

    async fn connect(router: &Router, topics: &str, last: Option<&str>) -> Self {
        match Self::try_connect(router, topics, last).await {
            Ok(client) => client,
            Err(answer) => panic!("{answer:?}"),
        }
    }

    /// The next event; none at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let chunk = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = block.lines();
                    lines
                        .find_map(|line| line.strip_prefix(name))
                        .map(|value| value.trim_start().to_owned())
                };
                if let Some(data) = field("data:") {
                    let event = Event {
                        id: field("id:").unwrap(),
                        name: field("event:").unwrap(),
                        data,
                    };
                    self.events.push_back(event);
                }
                self.text = rest.to_owned();
            }
        }
    }

    /// Reads until an event holds this.
    async fn until(&mut self, part: &str) -> Event {
        let wait = async {
            loop {
                let event = self.next().await.expect("the stream goes on");
                if event.data.contains(part) || event.name == part {
                    return event;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait)
            .await
            .unwrap_or_else(|_| panic!("no event with {part}"))
    }

    /// What it is told about the whole of the page, once it has come.
    async fn settle(&mut self) -> Event {
        self.until("\"target\":\"pager\"").await
    }
}

fn console() -> (Console, Router) {
    let console = Console::builder().loopback().build();
    let router = nested(&console);
    (console, router)
}

fn work(name: &'static str) -> (CustomWork, String) {
    let work = observe::custom(name);
    let id = format!("work-{}", work.id().unwrap());
    (work, id)
}

#[tokio::test(start_paused = true)]
async fn a_page_is_told_how_it_looks_and_then_what_changes() {
    let (_console, router) = console();
    let mut client = Client::connect(&router, "running", None).await;
    assert!(
        client
            .next()
            .await
            .unwrap()
            .data
            .contains("\"target\":\"waits\"")
    );
    client.settle().await;
    let (work, id) = work("export that is new");
    let new = client.until(&format!("\"target\":\"{id}\"")).await;
    assert_eq!(new.name, "html");
    assert!(
        new.data.contains("\"in\":\"running\"") && new.data.contains("export that is new"),
        "{new:?}"
    );
    work.update(&Update::Progress { done: 3, total: 10 });
    let moved = client.until(&format!("\"target\":\"{id}\"")).await;
    assert!(
        moved.data.contains(r#"<progress value=\"3\" max=\"10\""#),
        "{moved:?}"
    );
    drop(work);
    let gone = client.until("remove").await;
    assert_eq!(gone.data, format!("{{\"target\":\"{id}\"}}"));
    let ids: Vec<u64> = [&new, &moved, &gone]
        .map(|event| event.id.parse().unwrap())
        .to_vec();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_hears_what_it_has_missed() {
    let (_console, router) = console();
    let mut client = Client::connect(&router, "running", None).await;
    client.settle().await;
    let (first, _) = work("heard by both");
    let heard = client.until("heard by both").await;
    drop(client);
    // Nobody is connected: this is found by the next look.
    let (second, _) = work("made while away");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut back = Client::connect(&router, "running", Some(&heard.id)).await;
    loop {
        let next = back.next().await.unwrap();
        assert_ne!(next.name, "resync");
        assert!(
            !next.data.contains("\"target\":\"running\""),
            "only what has changed: {next:?}"
        );
        if next.data.contains("made while away") {
            break;
        }
    }
    drop((first, second));
}

#[tokio::test(start_paused = true)]
async fn a_number_that_is_not_in_the_ring_means_resync() {
    let (_console, router) = console();
    for (last, reason) in [
        ("88214", "restarted"),
        ("99999999999999", "restarted"),
        ("nonsense", "restarted"),
    ] {
        let mut client = Client::connect(&router, "running", Some(last)).await;
        let first = client.next().await.unwrap();
        assert_eq!(
            (first.name.as_str(), first.data),
            ("resync", format!("{{\"reason\":\"{reason}\"}}")),
            "{last}"
        );
    }
    // A page that nobody has followed yet has no past to go on from.
    let mut client = Client::connect(&router, "running", None).await;
    let known = client.settle().await;
    let mut other = Client::connect(&router, "lints", Some(&known.id)).await;
    assert_eq!(other.next().await.unwrap().data, "{\"reason\":\"too_old\"}");
}

#[tokio::test(start_paused = true)]
async fn the_ninth_client_is_sent_away_until_one_leaves() {
    let (_console, router) = console();
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Client::connect(&router, "head", None).await);
    }
    let refused = Client::try_connect(&router, "head", None)
        .await
        .err()
        .unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        refused.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .is_ok()
    );
    clients.pop();
    Client::connect(&router, "head", None).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_loses_its_place_and_is_told() {
    let (_console, router) = console();
    let mut slow = Client::connect(&router, "running", None).await;
    slow.settle().await;
    let mut others = Vec::new();
    for _ in 0..7 {
        others.push(Client::connect(&router, "head", None).await);
    }
    let (work, _) = work("something to tell");
    // Nobody reads for a while, and the others have nothing that they would have to.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let another = Client::connect(&router, "head", None).await;
    let last = loop {
        match slow.next().await {
            Some(event) if event.name == "resync" => break event,
            Some(_) => {}
            None => panic!("it is told why"),
        }
    };
    assert_eq!(last.data, "{\"reason\":\"lagged\"}");
    assert_eq!(slow.next().await, None);
    drop((work, another, others));
}

#[tokio::test(start_paused = true)]
async fn at_most_four_updates_a_second_are_told_of_a_topic() {
    let (_console, router) = console();
    // Without the work of other tests, whose coming and going is told as well.
    let mut client = Client::connect(&router, "running&name=counts", None).await;
    client.settle().await;
    let (work, id) = work("counts fast");
    client.until(&id).await;
    let counting = tokio::spawn(async move {
        for done in 0..1000 {
            work.update(&Update::Progress { done, total: 1000 });
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
    });
    let begun = tokio::time::Instant::now();
    let mut told = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        client.until(&id).await;
        told += 1;
    }
    assert!((8..=13).contains(&told), "{told} in three seconds");
    counting.abort();
}

#[tokio::test]
async fn topics_that_are_none_are_refused() {
    let (_console, router) = console();
    let many = (0..13)
        .map(|id| format!("requests/{id}"))
        .collect::<Vec<_>>()
        .join(",");
    for topics in ["", "nothing", "requests/x", "head,nothing", many.as_str()] {
        let refused = Client::try_connect(&router, topics, None)
            .await
            .err()
            .unwrap();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{topics}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_only_view_hears_dots() {
    let console = Console::builder().dangerously_public().build();
    let router = nested(&console);
    let (work, id) = work("mail");
    work.update(&Update::Progress { done: 1, total: 2 });
    work.update(&Update::Message("to ada@example.com"));
    let mut client = Client::connect(&router, "running", None).await;
    let told = client.until(&id).await;
    assert!(
        told.data.contains("•••") && !told.data.contains("ada@"),
        "{told:?}"
    );
    work.update(&Update::Message("to grace@example.com"));
    work.update(&Update::Progress { done: 2, total: 2 });
    let told = client.until(r#"<progress value=\"2\""#).await;
    assert!(
        told.data.contains("•••") && !told.data.contains("grace@"),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_access_is_taken_back_or_made_less() {
    for later in [Access::Forbidden, Access::View] {
        let may = Arc::new(Mutex::new(Access::Act));
        let rule = {
            let may = may.clone();
            move |_: &Parts| *may.lock().unwrap()
        };
        let router = nested(&Console::builder().access(rule).build());
        let mut client = Client::connect(&router, "running", None).await;
        client.settle().await;
        let begun = tokio::time::Instant::now();
        tokio::time::sleep(Duration::from_secs(20)).await;
        *may.lock().unwrap() = later;
        // Much happens meanwhile.
        let (work, _) = work("goes on");
        let counting = tokio::spawn(async move {
            for done in 0..1_000 {
                work.update(&Update::Progress { done, total: 1_000 });
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let last = client.until("resync").await;
        assert_eq!(last.data, "{\"reason\":\"access\"}", "{later:?}");
        assert_eq!(client.next().await, None);
        let took = begun.elapsed();
        assert!(took <= Duration::from_secs(36), "{took:?}");
        counting.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_some_machine_runs_is_told_while_somebody_looks() {
    let (console, router) = console();
    let jobs = Jobs::memory();
    console.show_jobs(&jobs);
    let mut client = Client::connect(&router, "background", None).await;
    client.until("\"target\":\"jobs-left-out\"").await;
    // What nothing in this process would tell.
    let mail: Kind<u64, u64> = Kind::new("mail of another machine");
    let (goes_on, steps) = tokio::sync::watch::channel(1);
    let send = move |_, job: JobContext| {
        let mut steps = steps.clone();
        async move {
            loop {
                job.progress(*steps.borrow_and_update(), 4);
                if steps.changed().await.is_err() {
                    break Ok::<_, String>(7);
                }
            }
        }
    };
    let workers = jobs.workers().handle(mail, Policy::new(), send);
    let _workers = workers.start().await.unwrap();
    let job = jobs.enqueue(mail, &1).await.unwrap();
    let row = format!("\"target\":\"job-{}\"", job.id());
    for step in [2, 3] {
        goes_on.send_replace(step);
        let bar = format!("<progress value=\\\"{step}\\\"");
        while !client.until(&row).await.data.contains(&bar) {}
    }
    drop(goes_on);
    while !client
        .until(&row)
        .await
        .data
        .contains("data-state=\\\"completed")
    {}
}

#[tokio::test]
async fn the_filter_of_jobs_holds_for_their_events() {
    let (console, router) = console();
    console.show_jobs(&Jobs::memory());
    let refused = Client::try_connect(&router, "background&state=sleepy", None).await;
    assert_eq!(refused.err().unwrap().status(), StatusCode::BAD_REQUEST);
    let mut client = Client::connect(&router, "background&state=dead", None).await;
    client.until("\"target\":\"jobs\"").await;
}
