//! A subscriber that panics, as one does that writes to a closed stderr, loses its lines and nothing else.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::FutureExt;
use nexios::{
    AsyncLazy, Background, BackgroundFailure, Candidate, Drain, Interrupted, Retry, TaskGroup,
    TaskState, run_until_first_complete,
};
use tokio::{runtime::Builder, task::yield_now, time::sleep};
use tracing::{Dispatch, Event, Metadata, Subscriber, span, subscriber::DefaultGuard};
use tracing_core::span::Current;

/// What a subscriber panics at besides events.
#[derive(Clone, Copy, PartialEq)]
enum Spans {
    Never,
    /// When they are made.
    Made,
    /// When they are entered, left or closed.
    Used,
    /// When it is asked which one is current.
    Asked,
}

/// Panics at every event.
#[derive(Clone)]
struct Broken {
    spans: Spans,
    panics: Arc<AtomicUsize>,
}

impl Broken {
    /// Is the subscriber of this thread from now on; counts its panics.
    fn install(spans: Spans) -> (Arc<AtomicUsize>, DefaultGuard) {
        /// With a single dispatcher alive, tracing asks only the current thread's whether a callsite is of
        /// interest, and remembers a "no" from the thread of another test; with several it asks them all.
        static KEPT: LazyLock<[Dispatch; 2]> = LazyLock::new(|| {
            [(); 2].map(|()| {
                Dispatch::new(Broken {
                    spans: Spans::Never,
                    panics: Arc::default(),
                })
            })
        });
        LazyLock::force(&KEPT);
        let panics = Arc::new(AtomicUsize::new(0));
        let broken = Self {
            spans,
            panics: panics.clone(),
        };
        (panics, tracing::subscriber::set_default(broken))
    }

    fn fail(&self) {
        self.panics.fetch_add(1, SeqCst);
        panic!("failed printing to stderr");
    }

    fn fail_in_a_span(&self, spans: Spans) {
        if self.spans == spans {
            self.fail();
        }
    }
}

impl Subscriber for Broken {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("nexios")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        self.fail_in_a_span(Spans::Made);
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {
        self.fail_in_a_span(Spans::Used);
    }

    fn exit(&self, _: &span::Id) {
        self.fail_in_a_span(Spans::Used);
    }

    fn try_close(&self, _: span::Id) -> bool {
        self.fail_in_a_span(Spans::Used);
        true
    }

    fn event(&self, _: &Event<'_>) {
        self.fail();
    }

    fn current_span(&self) -> Current {
        self.fail_in_a_span(Spans::Asked);
        Current::none()
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn background_tasks_end_in_the_right_state_whatever_the_subscriber_does() {
    for spans in [Spans::Never, Spans::Made, Spans::Used] {
        let (panics, guard) = Broken::install(spans);
        let told = Arc::new(AtomicUsize::new(0));
        let background = Background::builder()
            .on_error({
                let told = told.clone();
                move |_| {
                    told.fetch_add(1, SeqCst);
                    panic!("the hook panics");
                }
            })
            .build();
        let completes = background.spawn_future("completes", async { 7 });
        let fails = background
            .spawn_fallible("fails", |_cx| async { Err::<(), _>("no") })
            .unwrap();
        let panicking = background.spawn_future("panics", async { panic!("on purpose") });
        let slow = background
            .task("slow")
            .timeout(seconds(1))
            .spawn(|_cx| sleep(seconds(9)))
            .unwrap();
        let retried = background
            .task("retried")
            .retry(Retry::exponential(seconds(1), seconds(1)).attempts(2));
        let retried = retried
            .spawn_fallible(|cx| async move { if cx.attempt() < 2 { Err("no") } else { Ok(2) } })
            .unwrap();
        let late = background.spawn("late", |_cx| sleep(seconds(12))).unwrap();
        let deaf = background
            .spawn("deaf", |_cx| std::future::pending::<()>())
            .unwrap();
        yield_now().await;
        late.cancel();
        deaf.cancel();
        let ids = [
            completes.id(),
            fails.id(),
            panicking.id(),
            slow.id(),
            retried.id(),
            late.id(),
            deaf.id(),
        ];
        assert_eq!(completes.await, Ok(7));
        assert_eq!(fails.await, Ok(Err("no")));
        assert_eq!(panicking.await, Err(BackgroundFailure::Panicked));
        assert_eq!(slow.await, Err(BackgroundFailure::TimedOut));
        assert_eq!(retried.await, Ok(Ok(2)));
        assert_eq!(late.await, Ok(()));
        let report = background
            .drain(Drain {
                wait: seconds(1),
                cancel: seconds(1),
            })
            .await;
        assert_eq!(report.abandoned, ["deaf"]);
        assert_eq!(deaf.await, Err(BackgroundFailure::Abandoned));
        let states = ids.map(|id| background.get(id).unwrap().state);
        use TaskState::{Abandoned, Completed, Failed, Panicked, TimedOut};
        assert_eq!(
            states,
            [
                Completed, Failed, Panicked, TimedOut, Completed, Completed, Abandoned
            ]
        );
        assert_eq!(told.load(SeqCst), 3, "the hook is called all the same");
        assert_eq!(
            background.spawn_future("refused", async {}).await,
            Err(BackgroundFailure::Refused)
        );
        let lines = panics.load(SeqCst);
        assert!(lines >= 10, "{lines} lines were tried");
        drop(guard);
    }
}

/// Dropped by their runtime, and that while a panic unwinds: one more panic there would abort the process.
#[test]
fn tasks_that_are_cut_off_while_a_panic_unwinds_end_as_well() {
    for spans in [Spans::Never, Spans::Made, Spans::Used] {
        let (panics, guard) = Broken::install(spans);
        let background = Background::new();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                drop(background.spawn("cut off", |_cx| std::future::pending::<()>()));
                drop(background.spawn_future("cut off", std::future::pending::<()>()));
                yield_now().await;
            });
            panic!("the server");
        }));
        assert!(ended.is_err());
        let stats = background.stats();
        assert_eq!((stats.abandoned, stats.running, stats.queued), (2, 0, 0));
        assert!(panics.load(SeqCst) >= 2);
        drop(guard);
    }
}

#[tokio::test(start_paused = true)]
async fn groups_and_lazy_values_end_whatever_the_subscriber_does() {
    let (panics, _guard) = Broken::install(Spans::Never);
    // Dropped before anybody awaited it.
    let group = TaskGroup::<Interrupted>::new();
    drop(group.spawn(std::future::pending::<Result<(), _>>()));
    drop(group);
    assert_eq!(panics.load(SeqCst), 1);
    // Its finalizer panics, in a task of its own.
    let group = TaskGroup::<Interrupted>::new();
    group.defer(async { panic!("on purpose") });
    drop(group);
    sleep(seconds(1)).await;
    assert_eq!(panics.load(SeqCst), 2);
    // A computation that panics is one that failed.
    let lazy = AsyncLazy::<u8, String>::new(|| async { panic!("on purpose") });
    assert!(lazy.get().await.is_err());
    assert!(panics.load(SeqCst) >= 3);
}

/// Its span is made after others can join the flight, and used around every poll.
#[tokio::test(start_paused = true)]
async fn a_lazy_value_is_computed_whatever_the_subscriber_does_with_its_span() {
    for spans in [Spans::Made, Spans::Used] {
        let (panics, _guard) = Broken::install(spans);
        let lazy = AsyncLazy::<u8, String>::new(|| async {
            yield_now().await;
            Ok(7)
        });
        assert_eq!(*lazy.get().await.unwrap(), 7);
        assert!(panics.load(SeqCst) >= 1);
    }
}

/// Each asks for the current span or has one of its own.
#[tokio::test]
async fn children_pool_jobs_and_those_who_join_end_well_whatever_the_subscriber_does_with_spans() {
    for spans in [Spans::Made, Spans::Used, Spans::Asked] {
        let (panics, _guard) = Broken::install(spans);
        let group = TaskGroup::<Interrupted>::new();
        let sum = group.run(async {
            let named = group.spawn_named("named", async {
                yield_now().await;
                Ok(1)
            });
            let parallel = group.spawn_parallel(async { Ok(2) });
            Ok(named.await? + parallel.await?)
        });
        assert_eq!(sum.await, Ok(3));
        assert_eq!(nexios::run_in_threadpool(|| 4).await, 4);
        let lazy = AsyncLazy::<u8, String>::new(|| async {
            yield_now().await;
            Ok(5)
        });
        let (first, joined) = tokio::join!(lazy.get(), lazy.get());
        assert_eq!((*first.unwrap(), *joined.unwrap()), (5, 5));
        assert!(panics.load(SeqCst) >= 1);
    }
}

/// Nobody is left to run it, and a panic unwinds.
#[test]
fn a_finalizer_is_lost_without_a_second_panic_while_one_unwinds() {
    let (panics, _guard) = Broken::install(Spans::Never);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let group = TaskGroup::<Interrupted>::new();
        group.defer(std::future::pending());
        panic!("the handler");
    }));
    assert!(caught.is_err());
    assert_eq!(panics.load(SeqCst), 1);
}

/// Two panics and a line between them: the candidate's, that of another's destructor, and the subscriber's.
#[tokio::test]
async fn a_race_that_unwinds_over_a_destructor_that_panics_costs_a_line() {
    struct Fragile;

    impl Drop for Fragile {
        fn drop(&mut self) {
            panic!("a destructor");
        }
    }

    let (panics, _installed) = Broken::install(Spans::Never);
    let race = run_until_first_complete([
        Candidate::new("fragile", async {
            let _fragile = Fragile;
            std::future::pending::<Result<(), ()>>().await
        }),
        Candidate::new("panics", async { panic!("a candidate") }),
    ]);
    let payload = AssertUnwindSafe(race).catch_unwind().await.unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"a candidate"));
    assert_eq!(panics.load(SeqCst), 1, "it was told, and the line was lost");
}
