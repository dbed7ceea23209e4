//! Errors, panics and runtimes that die.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use nexios::{Background, BackgroundFailure, Drain, TaskState};

use super::{assert_idle, seconds, settle};

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the destructor panics");
    }
}

/// B3, B4: an error is kept, counted and shown, and the value is handed over.
#[tokio::test(start_paused = true)]
async fn an_error_is_the_state_failed_and_keeps_its_text() {
    let background = Background::new();
    let task = background
        .spawn_fallible("import", |_cx| async { "x".parse::<u32>() })
        .unwrap();
    let id = task.id();
    assert!(task.await.unwrap().is_err());
    let info = background.get(id).unwrap();
    assert_eq!(info.state, TaskState::Failed);
    assert_eq!(info.error.as_deref(), Some("invalid digit found in string"));
    assert_eq!(background.stats().failed, 1);
}

/// BG-025: a panic is recorded with its text and stops no other task.
#[tokio::test(start_paused = true)]
async fn a_panic_is_contained_and_kept_with_its_text() {
    let background = Background::new();
    let other = background.spawn_future("other", tokio::time::sleep(seconds(1)));
    let plain = background.spawn_future("plain", async { panic!("row {} is bad", 7) });
    let context = background
        .spawn("context", |_cx| async { std::panic::panic_any(7_u8) })
        .unwrap();
    let ids = [plain.id(), context.id()];
    assert!(matches!(
        plain.await,
        Err::<(), _>(BackgroundFailure::Panicked)
    ));
    assert!(matches!(
        context.await,
        Err::<(), _>(BackgroundFailure::Panicked)
    ));
    let errors = ids.map(|id| background.get(id).unwrap().error.unwrap());
    assert_eq!(errors, ["row 7 is bad", "a panic without text"]);
    other.await.unwrap();
    assert_eq!(background.stats().panicked, 2);
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_panics_before_there_is_a_future_is_contained() {
    let background = Background::new();
    let task = background
        .spawn("early", |_cx| -> std::future::Ready<()> {
            panic!("no future")
        })
        .unwrap();
    let id = task.id();
    assert!(matches!(task.await, Err(BackgroundFailure::Panicked)));
    assert_eq!(
        background.get(id).unwrap().error.as_deref(),
        Some("no future")
    );
    assert_idle(&background);
}

#[tokio::test(start_paused = true)]
async fn a_destructor_that_panics_is_contained() {
    let background = Background::new();
    let cancelled = background.spawn_future("cancelled", async {
        let _bomb = Bomb;
        std::future::pending::<()>().await;
    });
    let done = background.spawn_future("done", async {
        let _bomb = Bomb;
    });
    let bomb = Bomb;
    let unpolled = background.spawn_future("unpolled", async move {
        let _bomb = bomb;
        std::future::pending::<()>().await;
    });
    unpolled.cancel();
    settle().await;
    cancelled.cancel();
    for task in [cancelled, done, unpolled] {
        assert!(matches!(task.await, Err(BackgroundFailure::Panicked)));
    }
    let payload = background.spawn_future("payload", async { std::panic::panic_any(Bomb) });
    assert!(matches!(
        payload.await,
        Err::<(), _>(BackgroundFailure::Panicked)
    ));
    assert_idle(&background);
}

#[tokio::test(start_paused = true)]
async fn an_error_whose_text_panics_is_a_panic() {
    struct Mute;
    impl std::fmt::Display for Mute {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("no words")
        }
    }
    let background = Background::new();
    let task = background
        .spawn_fallible("mute", |_cx| async { Err::<(), _>(Mute) })
        .unwrap();
    assert!(matches!(task.await, Err(BackgroundFailure::Panicked)));
}

/// BG-051: the hook is told once about each failure, with the final state.
#[tokio::test(start_paused = true)]
async fn the_error_hook_is_told_about_each_failure_once() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let background = Background::builder()
        .on_error({
            let told = told.clone();
            move |info| {
                told.lock()
                    .unwrap()
                    .push((info.name.to_string(), info.state, info.error.clone()));
            }
        })
        .build();
    let _ = background
        .spawn_fallible("fails", |_cx| async { Err::<(), _>("no") })
        .unwrap()
        .await;
    let _ = background
        .spawn_future("panics", async { panic!("on purpose") })
        .await;
    let _ = background
        .task("slow")
        .timeout(seconds(1))
        .spawn(|_cx| std::future::pending::<()>())
        .unwrap()
        .await;
    background.spawn_future("fine", async {}).await.unwrap();
    let cancelled = background.spawn_future("cancelled", std::future::pending::<()>());
    cancelled.cancel();
    let _ = cancelled.await;
    let told = told.lock().unwrap();
    assert_eq!(
        *told,
        [
            ("fails".to_owned(), TaskState::Failed, Some("no".to_owned())),
            (
                "panics".to_owned(),
                TaskState::Panicked,
                Some("on purpose".to_owned())
            ),
            ("slow".to_owned(), TaskState::TimedOut, None),
        ]
    );
}

/// BG-051: a hook that panics costs nothing but its own call; the hook may look at the registry.
#[tokio::test(start_paused = true)]
async fn a_panicking_hook_is_contained() {
    let background = Background::builder().limit(1).build();
    let calls = Arc::new(AtomicUsize::new(0));
    background.on_error({
        let (background, calls) = (background.clone(), calls.clone());
        move |info| {
            assert_eq!(background.get(info.id).unwrap().state, TaskState::Failed);
            calls.fetch_add(1, Ordering::SeqCst);
            panic!("the hook panics");
        }
    });
    for _ in 0..3 {
        let task = background
            .spawn_fallible("fails", |_cx| async { Err::<(), _>("no") })
            .unwrap();
        assert!(matches!(task.await, Ok(Err("no"))));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert_eq!(background.stats().failed, 3);
    let report = background
        .drain(Drain {
            wait: seconds(5),
            cancel: seconds(5),
        })
        .await;
    assert!(report.failed.is_empty(), "{report:?}");
    background.on_error(|_| {}); // breaks the circle of the hook and its registry
}

/// BG-046, RS-006: a task ends as cancelled or abandoned when its runtime dies, and its waiter is told.
#[test]
fn a_runtime_that_dies_ends_its_tasks() {
    let background = Background::builder().limit(2).build();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let (running, asked, queued) = runtime.block_on(async {
        let running = background.spawn_future("running", std::future::pending::<()>());
        let asked = background
            .spawn("asked", |_cx| std::future::pending::<()>())
            .unwrap();
        let queued = background.spawn_future("queued", std::future::pending::<()>());
        settle().await;
        asked.cancel();
        (running, asked, queued)
    });
    drop(runtime);
    let states: Vec<_> = background
        .list()
        .into_iter()
        .map(|info| (info.name, info.state))
        .collect();
    assert!(
        states.contains(&("running".into(), TaskState::Abandoned)),
        "{states:?}"
    );
    assert!(
        states.contains(&("asked".into(), TaskState::Cancelled)),
        "{states:?}"
    );
    assert!(
        states.iter().all(|(_, state)| state.is_final()),
        "{states:?}"
    );
    assert_idle(&background);
    let other = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    other.block_on(async {
        assert!(matches!(running.await, Err(BackgroundFailure::Abandoned)));
        assert!(matches!(asked.await, Err(BackgroundFailure::Cancelled)));
        assert!(queued.await.is_err());
        // BG-044: nobody is left to wait for.
        let report = background
            .drain(Drain {
                wait: seconds(60),
                cancel: seconds(60),
            })
            .await;
        assert!(report.abandoned.is_empty() && report.cancelled.is_empty());
    });
}

/// A task started while its runtime is going down ends too, and its destructors may panic.
#[test]
fn a_task_started_by_a_dying_runtime_ends() {
    struct Spawns(Background);
    impl Drop for Spawns {
        fn drop(&mut self) {
            drop(
                self.0
                    .spawn_future("too late", std::future::pending::<()>()),
            );
        }
    }
    let background = Background::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let spawns = Spawns(background.clone());
    runtime.block_on(async {
        drop(background.spawn_future("first", async move {
            let _spawns = spawns;
            let _bomb = Bomb;
            std::future::pending::<()>().await;
        }));
        settle().await;
    });
    drop(runtime);
    assert_idle(&background);
    assert_eq!(background.list().len(), 2);
    assert_eq!(background.stats().panicked, 1);
}

/// RS-005: plain current-thread runtimes without a clock will do.
#[test]
fn a_runtime_without_a_clock_runs_and_cancels_tasks() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let background = Background::new();
    runtime.block_on(async {
        assert_eq!(
            background.spawn_future("plain", async { 1 }).await.unwrap(),
            1
        );
        let endless = background.spawn_future("endless", std::future::pending::<()>());
        settle().await;
        endless.cancel();
        assert!(matches!(endless.await, Err(BackgroundFailure::Cancelled)));
        let asks = background
            .spawn("asks", |cx| async move { cx.cancelled().await })
            .unwrap();
        settle().await;
        asks.cancel();
        assert!(asks.await.is_ok());
    });
}
