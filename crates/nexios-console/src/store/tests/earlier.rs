//! Background tasks that began before the console.

use std::{future::pending, sync::Arc, time::SystemTime};

use nexios::{
    Background, BackgroundTask, CancelReason,
    observe::{self, Observing},
};
use tokio::task::yield_now;

use super::*;
use crate::{
    model::{BackgroundTask as Row, JobList, Schedule, State},
    query::RunningQuery,
};

/// A store that begins to observe now, after the test has moved its clock by so much; the world's did not go with it.
fn begin(moved: Duration) -> (Arc<Store>, Observing) {
    let mut store = Store::new(MEBIBYTE);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    store.clock.set(now.unwrap() + moved);
    let store = Arc::new(store);
    let observing = observe::observe(store.clone());
    store.told_since(observing.since());
    (store, observing)
}

/// Those of this registry: other tests have tasks as well.
fn rows(store: &Store, registry: &str) -> Vec<Row> {
    let mut tasks = store.background(JobList::default()).content.tasks;
    tasks.retain(|task| task.registry.as_deref() == Some(registry));
    tasks
}

fn named(name: &'static str) -> Background {
    Background::builder().name(name).build()
}

#[tokio::test(start_paused = true)]
async fn a_task_that_began_before_is_shown_with_all_that_it_has_said() {
    let registry = Background::builder().name("imports").limit(1).build();
    let running = registry
        .spawn("import", |cx| async move {
            cx.progress(2, 8);
            cx.message("reads");
            cx.cancelled().await;
            pending::<()>().await;
        })
        .unwrap();
    let waiting = registry.spawn_future("next", pending::<()>());
    yield_now().await;
    advance(ms(500)).await;
    let (store, _observing) = begin(ms(500));
    advance(ms(500)).await;

    let shown = rows(&store, "imports");
    assert_eq!(shown.len(), 2);
    let (first, second) = (&shown[0].work, &shown[1].work);
    assert_eq!((first.id, &*first.name), (running.id().0, "import"));
    assert_eq!((first.state, first.attempt), (State::Running, 1));
    assert!((first.age_ms - 1_000.0).abs() <= 50.0, "{}", first.age_ms);
    assert_eq!(shown[0].elapsed_ms, 1_000.0);
    assert_eq!(shown[0].eta_ms, Some(3_000.0));
    let progress = first.progress.as_ref().unwrap();
    assert_eq!((progress.done, progress.total), (Some(2), Some(8)));
    assert!(first.can_cancel && first.waiting_for.is_none());
    assert_eq!((second.id, second.state), (waiting.id().0, State::Waiting));
    let waits = r#"a running slot of "imports""#;
    assert_eq!(second.waiting_for.as_deref(), Some(waits));

    assert!(observe::cancel(running.id().into()));
    let shown = rows(&store, "imports");
    assert_eq!(shown[0].work.state, State::Cancelling);
    assert_eq!(shown[0].work.reason, Some(CancelReason::Requested));
}

#[tokio::test(start_paused = true)]
async fn it_is_among_the_live_work_and_what_the_service_cannot_end_without() {
    let registry = named("outlived");
    let _task = registry.spawn_future("poll the sensors", pending::<()>());
    yield_now().await;
    let (store, _observing) = begin(Duration::ZERO);
    let query = |name: &str, kind: &str, state: &str| RunningQuery {
        name: name.to_owned(),
        kind: kind.to_owned(),
        state: state.to_owned(),
        ..RunningQuery::default()
    };
    let count = |query| {
        let running = store.running(&query).content;
        assert_eq!(running.total, running.work.len());
        running.total
    };
    assert_eq!(count(query("the sensors", "background", "running")), 1);
    assert_eq!(count(query("the sensors", "request", "")), 0);
    assert_eq!(count(query("the sensors", "", "waiting")), 0);
    let later = registry.spawn_future("poll the sensors", pending::<()>());
    assert_eq!(count(query("the sensors", "", "")), 2);
    drop(later);
    // While other tests have tasks, too, it may not be among those that are named.
    loop {
        let now = store.now();
        if now.left.iter().any(|left| left.name == "poll the sensors") {
            break;
        }
        assert!(now.other_left > 0, "{:?}", now.left);
        std::thread::yield_now();
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_shown_as_ended_if_it_ended_since_and_not_if_it_had() {
    let registry = named("ends");
    registry.spawn_future("before", async {}).await.unwrap();
    let goes_on: BackgroundTask<_> = registry
        .spawn_fallible("goes on", |_cx| async {
            tokio::time::sleep(ms(700)).await;
            Err::<(), _>("no route")
        })
        .unwrap();
    yield_now().await;
    advance(ms(100)).await;
    let (store, _observing) = begin(ms(100));
    assert_eq!(rows(&store, "ends").len(), 1);
    goes_on.await.unwrap().unwrap_err();
    let shown = rows(&store, "ends");
    assert_eq!(shown.len(), 1);
    let row = &shown[0];
    assert_eq!(
        (&*row.work.name, row.work.state),
        ("goes on", State::Failed)
    );
    assert!(row.ended_unix_ms.is_some() && row.eta_ms.is_none() && !row.work.can_cancel);
    assert_eq!(row.elapsed_ms, 700.0);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_began_before_says_its_next_run_and_holds_up_no_end() {
    let registry = named("clock");
    let schedule = registry.every("wind the clock", ms(60_000), async |_cx| {});
    yield_now().await;
    let (store, _observing) = begin(Duration::ZERO);
    let schedules = store.background(JobList::default()).content.schedules;
    let is_it = |schedule: &&Schedule| schedule.name == "wind the clock";
    let shown = schedules.iter().find(is_it).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let in_a_minute = now.unwrap().as_millis() as u64 + 60_000;
    assert!(shown.next_unix_ms.unwrap().abs_diff(in_a_minute) < 10_000);
    let left = store.now().left;
    assert!(left.iter().all(|left| left.name != "wind the clock"));
    drop(schedule);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_it_was_told_of_though_its_number_is_smaller_is_shown_once() {
    let mut store = Store::new(MEBIBYTE);
    store.clock.set(Duration::ZERO);
    let store = Arc::new(store);
    let observing = observe::observe(store.clone());
    let registry = named("told");
    let lives = registry.spawn_future("lives", pending::<()>());
    let ends = registry.spawn_future("ends", async {});
    let after = observe::observe(Arc::new(Store::new(MEBIBYTE)));
    store.told_since(after.since());
    ends.await.unwrap();
    let states: Vec<_> = rows(&store, "told")
        .iter()
        .map(|row| row.work.state)
        .collect();
    assert_eq!(states, [State::Running, State::Completed]);
    drop((lives, observing));
}

/// However the beginnings and ends of tasks and of the store fall, each is shown once, and none is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_task_is_shown_twice_or_stays_when_a_store_begins_among_them() {
    const ROUNDS: usize = 1_000;
    let registry = Background::builder().name("race").history(8).build();
    for _ in 0..ROUNDS {
        let first = registry.spawn_future("first", yield_now());
        let lasts = registry.spawn_future("lasts", pending::<()>());
        let crowd = tokio::spawn({
            let registry = registry.clone();
            async move {
                let tasks: Vec<_> = (0..3)
                    .map(|_| registry.spawn_future("crowd", yield_now()))
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            }
        });
        let (store, observing) = begin(Duration::ZERO);
        let seen: Vec<_> = rows(&store, "race").iter().map(|row| row.work.id).collect();
        let mut once = seen.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), seen.len(), "{seen:?}");
        assert!(seen.contains(&lasts.id().0));
        first.await.unwrap();
        crowd.await.unwrap();
        let live: Vec<_> = rows(&store, "race")
            .iter()
            .filter(|row| row.ended_unix_ms.is_none())
            .map(|row| row.work.id)
            .collect();
        assert_eq!(live, [lasts.id().0]);
        lasts.cancel();
        let _ = lasts.await;
        let live = rows(&store, "race");
        assert!(live.iter().all(|row| row.ended_unix_ms.is_some()));
        drop(observing);
    }
}
