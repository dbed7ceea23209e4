//! Background tasks that began before the console, or the metrics, were there.

use std::time::Duration;

use axum::Router;
use nexios::{Background, BackgroundTask};
use nexios_console::{Access, Console};
use serde_json::Value;
use tokio::{
    sync::{Mutex, MutexGuard},
    task::yield_now,
    time::sleep,
};

#[cfg(feature = "prometheus")]
use nexios_console::Metrics;

use crate::asking::{ask, get, nested};

/// A console keeps the last fifty ends of the whole process: those that count them come one after the other.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().await
}

fn console() -> Router {
    nested(
        &Console::builder()
            .access(|_| Access::Act)
            .allow_actions()
            .build(),
    )
}

/// What a page lists of one registry.
async fn listed(router: &Router, page: &str, list: &str, registry: &str) -> Vec<Value> {
    let body = get(router, &format!("/nexios/api/v1{page}")).await.body;
    let page: Value = serde_json::from_str(&body).unwrap();
    let all = page[list].as_array().unwrap().iter();
    let of_it = all.filter(|work| work["owner"] == registry);
    of_it.cloned().collect()
}

async fn tasks(router: &Router, registry: &str) -> Vec<Value> {
    listed(router, "/background", "tasks", registry).await
}

fn ids(tasks: &[Value]) -> Vec<u64> {
    tasks
        .iter()
        .map(|task| task["id"].as_u64().unwrap())
        .collect()
}

fn forever(background: &Background, name: &'static str) -> BackgroundTask<()> {
    background.spawn_future(name, std::future::pending::<()>())
}

#[tokio::test(start_paused = true)]
async fn a_task_that_began_before_the_console_is_shown_with_what_it_says() {
    let background = Background::builder().name("earlier says").limit(1).build();
    let import = background
        .spawn("import", |cx| async move {
            cx.progress(3, 10);
            cx.message("reads users.csv");
            sleep(Duration::from_secs(5)).await;
            cx.progress(4, 10);
            std::future::pending::<()>().await;
        })
        .unwrap();
    let waits = forever(&background, "waits");
    sleep(Duration::from_secs(2)).await;
    let router = console();
    for (page, list) in [("/running", "work"), ("/background", "tasks")] {
        let shown = listed(&router, page, list, "earlier says").await;
        let mut numbers = ids(&shown);
        numbers.sort_unstable();
        assert_eq!(numbers, [import.id().0, waits.id().0], "{page}");
        let find = |id: u64| shown.iter().find(|work| work["id"] == id).unwrap();
        let (import, waits) = (find(import.id().0), find(waits.id().0));
        assert_eq!(
            (
                &import["kind"],
                &import["name"],
                &import["state"],
                &import["attempt"]
            ),
            (
                &"background".into(),
                &"import".into(),
                &"running".into(),
                &1.into()
            )
        );
        assert_eq!(
            (
                &import["progress"]["done"],
                &import["progress"]["total"],
                &import["progress"]["message"]
            ),
            (&3.into(), &10.into(), &"reads users.csv".into())
        );
        assert!(import["age_ms"].as_f64().unwrap() >= 2_000.0, "{import}");
        assert_eq!(
            (&waits["state"], &waits["waiting_for"]),
            (
                &"waiting".into(),
                &"a running slot of \"earlier says\"".into()
            )
        );
    }
    sleep(Duration::from_secs(4)).await;
    let shown = tasks(&router, "earlier says").await;
    let later = shown.iter().find(|work| work["name"] == "import").unwrap();
    assert_eq!(later["progress"]["done"], 4);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_began_before_the_console_is_shown_as_it_is_cancelled_and_as_it_ends() {
    let _alone = alone().await;
    let background = Background::builder().name("earlier ends").build();
    let cleans = background
        .spawn("cleans up", |cx| async move {
            cx.cancelled().await;
            sleep(Duration::from_secs(60)).await;
        })
        .unwrap();
    let fails = background
        .spawn_fallible("fails", |_| async move {
            sleep(Duration::from_secs(3)).await;
            Err::<(), _>("no such file")
        })
        .unwrap();
    let pending = forever(&background, "is dropped");
    sleep(Duration::from_secs(1)).await;
    let router = console();
    let cancel = format!("/nexios/actions/cancel/{}", cleans.id().0);
    let json = [
        ("accept", "application/json"),
        ("sec-fetch-site", "same-origin"),
    ];
    assert_eq!(ask(&router, "POST", &cancel, &json).await.status, 204);
    pending.cancel();
    sleep(Duration::from_secs(5)).await;
    let shown = tasks(&router, "earlier ends").await;
    let find = |name: &str| shown.iter().find(|task| task["name"] == name).unwrap();
    assert_eq!(
        (&find("cleans up")["state"], &find("cleans up")["reason"]),
        (&"cancelling".into(), &"requested".into())
    );
    let failed = find("fails");
    assert_eq!(
        (&failed["state"], &failed["error"], &failed["elapsed_ms"]),
        (&"failed".into(), &"no such file".into(), &3_000.0.into())
    );
    assert!(failed["ended_unix_ms"].is_u64() && failed["can_cancel"] == false);
    assert_eq!(find("is dropped")["state"], "cancelled");
    assert_eq!(shown.len(), 3);
    // Nothing of them stays on the page of what runs.
    let running = listed(&router, "/running", "work", "earlier ends").await;
    assert_eq!(ids(&running), [cleans.id().0]);
    drop(fails);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_began_before_the_console_is_listed_with_its_next_run() {
    let background = Background::builder().name("earlier schedules").build();
    let clean = background
        .every("earlier sweep", Duration::from_secs(3_600), |_| async {})
        .unwrap();
    sleep(Duration::from_secs(4_000)).await;
    let router = console();
    let body = get(&router, "/nexios/api/v1/background").await.body;
    let page: Value = serde_json::from_str(&body).unwrap();
    let schedules = page["schedules"].as_array().unwrap();
    let sweep: Vec<_> = schedules
        .iter()
        .filter(|schedule| schedule["name"] == "earlier sweep")
        .collect();
    assert_eq!(sweep.len(), 1);
    assert!(sweep[0]["next_unix_ms"].is_u64(), "{sweep:?}");
    drop(clean);
}

/// Starts tasks that end at once, one after the other.
async fn come_and_go(background: Background, count: usize) {
    for _ in 0..count {
        let _ = background.spawn_future("comes and goes", yield_now()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_console_is_built_no_task_is_lost_or_shown_twice_or_left_behind() {
    let _alone = alone().await;
    for round in 0..1_000 {
        let name = format!("earlier race {round}");
        let background = Background::builder().name(name.clone()).build();
        let stays = forever(&background, "stays");
        let comes = tokio::spawn(come_and_go(background.clone(), 5));
        let router = console();
        for _ in 0..3 {
            let mut shown = ids(&tasks(&router, &name).await);
            assert!(shown.contains(&stays.id().0), "round {round}: it is lost");
            let all = shown.len();
            shown.sort_unstable();
            shown.dedup();
            assert_eq!(shown.len(), all, "round {round}: one is shown twice");
        }
        comes.await.unwrap();
        let shown = tasks(&router, &name).await;
        let live: Vec<_> = shown
            .iter()
            .filter(|task| task["ended_unix_ms"].is_null())
            .cloned()
            .collect();
        assert_eq!(ids(&live), [stays.id().0], "round {round}");
        // Those that had ended when the console began are not shown.
        assert!(shown.len() <= 6, "round {round}: {shown:?}");
        let running = listed(&router, "/running", "work", &name).await;
        assert_eq!(ids(&running), [stays.id().0], "round {round}");
        stays.cancel();
        let _ = stays.await;
        let running = listed(&router, "/running", "work", &name).await;
        assert!(running.is_empty(), "round {round}: one is left behind");
    }
}

#[cfg(feature = "prometheus")]
async fn gauge(metrics: &Metrics, name: &str) -> Option<i64> {
    let body = get(&metrics.router(), "/metrics").await.body;
    let series = format!("nexios_background_active{{nexios_background_name=\"{name}\"}} ");
    let value = body.lines().find_map(|line| line.strip_prefix(&series))?;
    Some(value.parse().unwrap())
}

#[cfg(feature = "prometheus")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gauge_of_live_tasks_counts_each_once_whenever_it_began() {
    let _alone = alone().await;
    for round in 0..1_000 {
        let background = Background::new();
        let stays = background.spawn_future("earlier gauge", std::future::pending::<()>());
        let tasks = background.clone();
        let comes = tokio::spawn(async move {
            for _ in 0..5 {
                let _ = tasks.spawn_future("earlier gauge", yield_now()).await;
            }
        });
        let metrics = Metrics::new();
        for _ in 0..3 {
            // It stays; one ends, and the next one begins, while they are counted.
            let live = gauge(&metrics, "earlier gauge").await;
            assert!(matches!(live, Some(1..=3)), "round {round}: {live:?}");
        }
        comes.await.unwrap();
        // The metrics were told of this one, and its registry lists it too.
        let later = background.spawn_future("earlier gauge", std::future::pending::<()>());
        assert_eq!(
            gauge(&metrics, "earlier gauge").await,
            Some(2),
            "round {round}"
        );
        later.cancel();
        let _ = later.await;
        assert_eq!(
            gauge(&metrics, "earlier gauge").await,
            Some(1),
            "round {round}"
        );
        stays.cancel();
        let _ = stays.await;
        assert_eq!(
            gauge(&metrics, "earlier gauge").await,
            Some(0),
            "round {round}"
        );
    }
}
