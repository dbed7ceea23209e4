//! What is written down of tasks, statistics and reports, as those read it who keep it or send it on.

use std::time::{Duration, SystemTime};

use nexios::{
    AsyncLazy, Background, CancelReason, Delay, Drain, Hedge, LazyState, TaskId, TaskState,
    ThreadPool,
    observe::{self, WorkId},
};
use serde::Serialize;
use serde_json::{Value, json};

fn written(what: impl Serialize) -> Value {
    serde_json::to_value(what).expect("plain fields")
}

/// Takes a number out that is not known beforehand.
fn take(from: &mut Value, field: &str) -> u64 {
    let taken = from[field].take();
    taken.as_u64().unwrap_or_else(|| panic!("{field}: {taken}"))
}

#[test]
fn states_and_reasons_are_words() {
    assert_eq!(written(TaskState::TimedOut), "timed_out");
    assert_eq!(written(LazyState::Computing), "computing");
    assert_eq!(
        written(CancelReason::ClientDisconnected),
        "client_disconnected"
    );
}

#[test]
fn the_number_of_a_task_is_a_number_there_and_back() {
    assert_eq!(written(TaskId(7)), 7);
    assert_eq!(written(WorkId(u64::MAX)), u64::MAX);
    assert_eq!(serde_json::from_str::<TaskId>("7").unwrap(), TaskId(7));
    assert!(serde_json::from_str::<TaskId>("-7").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_task_is_written_down_with_its_units() {
    let background = Background::builder().limit(1).build();
    let task = background
        .spawn("import", |cx| async move {
            cx.progress(3, 10);
            cx.message("reads");
            cx.cancelled().await;
            tokio::time::sleep(Duration::from_millis(1_500)).await;
        })
        .unwrap();
    let waiting = background.spawn("waiting", |_cx| async {}).unwrap();
    tokio::task::yield_now().await;
    task.cancel();
    let mut shown = written(background.list());
    let began = take(&mut shown[0], "started_unix_ms");
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    assert!(
        now.as_millis().abs_diff(began.into()) < 3_600_000,
        "{began}"
    );
    let (id, next) = (task.id(), waiting.id());
    let expected = json!([
        {
            "id": id.0, "name": "import", "state": "running", "cancelling": "requested", "done": 3, "total": 10,
            "message": "reads", "attempt": 1, "started_unix_ms": null, "elapsed_ms": 0, "error": null,
            "next_run_unix_ms": null,
        },
        {
            "id": next.0, "name": "waiting", "state": "queued", "cancelling": null, "done": 0, "total": 0,
            "message": null, "attempt": 1, "started_unix_ms": null, "elapsed_ms": 0, "error": null,
            "next_run_unix_ms": null,
        },
    ]);
    assert_eq!(shown, expected);
    let mut report = written(background.drain(Drain::default()).await);
    // Those of the whole process: other tests have some.
    take(&mut report, "running_pool_closures");
    assert_eq!(
        report,
        json!({
            "completed": ["import", "waiting"], "failed": [], "cancelled": [], "abandoned": [], "handed_back": [],
            "running_pool_closures": null,
        })
    );
    let ended = written(background.get(id));
    assert_eq!(
        (&ended["elapsed_ms"], &ended["cancelling"]),
        (&json!(1_500), &Value::Null)
    );
    assert_eq!(
        written(background.stats()),
        json!({
            "queued": 0, "running": 0, "completed": 2, "failed": 0, "panicked": 0, "cancelled": 0, "timed_out": 0,
            "abandoned": 0, "refused": 0,
        })
    );
}

#[tokio::test]
async fn a_snapshot_is_written_down_with_all_that_lives() {
    let pool = ThreadPool::builder().name("written").threads(2).build();
    pool.run(|| ()).await.unwrap();
    let lazy = AsyncLazy::builder(|| async { Ok::<_, ()>(1) })
        .name("written")
        .ttl(Duration::from_secs(60))
        .build();
    lazy.get().await.unwrap();
    let hedge = Hedge::builder()
        .name("written")
        .delay(Delay::Fixed(Duration::from_millis(20)))
        .build();
    hedge.run(|_| async { Ok::<_, ()>(()) }).await.unwrap();
    let background = Background::builder().name("written").build();
    background.spawn_future("one", async {}).await.unwrap();

    let snapshot = written(observe::snapshot());
    let of_this_test = |kind: &str| {
        let all = snapshot[kind].as_array().unwrap();
        let mut own = all
            .iter()
            .find(|one| one["name"] == "written")
            .unwrap()
            .clone();
        assert!(take(&mut own, "id") > 0);
        own["stats"].take()
    };
    let mut pools = of_this_test("pools");
    for field in ["wait_p50_ms", "wait_p95_ms", "run_p50_ms", "run_p95_ms"] {
        take(&mut pools, field);
    }
    assert_eq!(
        pools,
        json!({
            "threads": 2, "running": 0, "queued": 0, "waiting": 0, "wait_p50_ms": null, "wait_p95_ms": null,
            "run_p50_ms": null, "run_p95_ms": null, "completed": 1, "shed": 0, "cancelled": 0, "oldest_running_ms": null,
        })
    );
    let mut lazies = of_this_test("lazies");
    for field in ["age_ms", "fresh_for_ms", "last_duration_ms"] {
        take(&mut lazies, field);
    }
    assert_eq!(
        lazies,
        json!({
            "hits": 0, "waits": 0, "misses": 1, "stale": 0, "computations": 1, "failures": 0, "evictions": 0,
            "age_ms": null, "fresh_for_ms": null, "state": "fresh", "is_map": false, "last_duration_ms": null,
        })
    );
    assert_eq!(
        of_this_test("hedges"),
        json!({
            "calls": 1, "hedges_started": 0, "hedges_won": 0, "hedges_wasted": 0, "hedges_suppressed": 0,
            "current_delay_ms": 20,
        })
    );
    assert_eq!(of_this_test("backgrounds")["completed"], 1);
    assert_eq!(
        written(pool.drain(Duration::from_secs(5)).await),
        json!({ "still_running": 0 })
    );
}
