//! Panics of children, daemons and wakers: who hears of them, when, and with what payload.

use std::{
    future::pending,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures_util::FutureExt;
use nexios::{CancelReason, TaskGroup};

use super::probes::{CountDrop, Failed, after, bounded, cancelled, count, millis, value_after};

/// TG-121: others wait for the child that panics: nobody hangs, the payload is the original.
#[tokio::test(start_paused = true)]
async fn a_panic_reaches_the_parent_though_siblings_and_body_wait_for_the_one_who_panics() {
    let dropped = AtomicUsize::new(0);
    let group = TaskGroup::<Failed>::new();
    let run = group.run(async {
        let dropped = &dropped;
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let panics = group.spawn::<(), _>(async move {
            let _sender = sender;
            after(10).await;
            panic!("the original {}", count(dropped))
        });
        let held = CountDrop(dropped);
        let waits = group.spawn(async move {
            let _held = held;
            panics.await
        });
        group.spawn(async move {
            let _ = receiver.await;
            pending::<Result<(), _>>().await
        });
        waits.await
    });
    let payload = bounded(AssertUnwindSafe(run).catch_unwind())
        .await
        .unwrap_err();
    assert_eq!(
        payload.downcast_ref::<String>().map(String::as_str),
        Some("the original 0")
    );
    assert_eq!(count(&dropped), 1);
}

/// TG-122: with a grace those who wait for the cancellation see it, then the panic comes out.
#[tokio::test(start_paused = true)]
async fn those_who_wait_for_the_cancellation_see_it_before_a_panic_comes_out() {
    let told = AtomicUsize::new(0);
    let group = TaskGroup::builder().grace(millis(100)).build();
    for _ in 0..2 {
        let (token, told) = (group.token(), &told);
        group.spawn(async move {
            assert_eq!(token.cancelled().await, CancelReason::SiblingFailed);
            after(10).await;
            told.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Failed>(())
        });
    }
    group.spawn(async {
        after(10).await;
        if true { panic!("third") } else { Ok(()) }
    });
    let payload = bounded(AssertUnwindSafe(group.join()).catch_unwind())
        .await
        .unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"third"));
    assert_eq!(count(&told), 2);
}

/// TG-132: a panic resumes with the payload it had, whatever its type and wherever the child ran.
#[tokio::test(start_paused = true)]
async fn a_panic_keeps_its_payload() {
    for parallel in [false, true] {
        let group = TaskGroup::<Failed>::new();
        let child = async {
            if true {
                std::panic::panic_any(Failed::With("typed"))
            } else {
                Ok(())
            }
        };
        if parallel {
            group.spawn_parallel(child);
        } else {
            group.spawn(child);
        }
        let payload = bounded(AssertUnwindSafe(group.join()).catch_unwind())
            .await
            .unwrap_err();
        assert_eq!(
            payload.downcast_ref::<Failed>(),
            Some(&Failed::With("typed"))
        );
    }
    let group = TaskGroup::<Failed>::new();
    let calm = bounded(AssertUnwindSafe(group.join()).catch_unwind()).await;
    assert!(matches!(calm, Ok(Ok(()))));
}

/// A daemon that watches the end may clean up in the grace of a failure.
#[tokio::test(start_paused = true)]
async fn a_daemons_panic_is_a_childs_panic() {
    let group = TaskGroup::<Failed>::new();
    group.spawn_daemon(async {
        after(10).await;
        panic!("daemon");
    });
    let child = group.spawn(pending::<Result<(), _>>());
    let payload = bounded(AssertUnwindSafe(group.join()).catch_unwind())
        .await
        .unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"daemon"));
    assert_eq!(
        bounded(child).await,
        Err(cancelled(CancelReason::SiblingFailed))
    );
}

/// TG-101: there are no policy hooks, but a waker is code of others. One that panics costs nobody the group.
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_leaves_the_group_usable() {
    struct Bomb(AtomicBool);
    impl std::task::Wake for Bomb {
        fn wake(self: Arc<Self>) {
            assert!(self.0.swap(true, Ordering::SeqCst), "waker");
        }
    }
    let group = TaskGroup::<Failed>::new();
    let (send, receive) = tokio::sync::oneshot::channel();
    let mut waits = group.spawn(async move { receive.await.map_err(|_| Failed::With("nobody")) });
    let other = group.spawn(value_after(10));
    let bomb = std::task::Waker::from(Arc::new(Bomb(AtomicBool::new(false))));
    assert!(
        waits
            .poll_unpin(&mut std::task::Context::from_waker(&bomb))
            .is_pending()
    );
    let sent = std::panic::catch_unwind(AssertUnwindSafe(|| send.send(1)));
    assert_eq!(sent.unwrap_err().downcast_ref::<&str>(), Some(&"waker"));
    let both = bounded(async { tokio::join!(waits, other) }).await;
    assert_eq!(both, (Ok(1), Ok(10)));
    assert_eq!(bounded(group.join()).await, Ok(()));
}

/// Panics when it is dropped.
struct Explosive;

impl Drop for Explosive {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("destructor");
        }
    }
}

/// A result that nobody takes goes with its handle: its destructor is not the driver's to run, nor that of an end.
#[test]
fn a_parallel_childs_result_is_dropped_with_its_handle() {
    for cancels in [false, true] {
        super::probes::watched(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let group = TaskGroup::<Failed>::new();
                let run = group.run(async {
                    let task = group.spawn_parallel(async { Ok(Explosive) });
                    while !task.is_finished() {
                        tokio::task::yield_now().await;
                    }
                    let dropped = std::panic::catch_unwind(AssertUnwindSafe(|| drop(task)));
                    if cancels {
                        group.cancel();
                    }
                    Ok(dropped.is_err())
                });
                assert_eq!(run.await, Ok(true));
                assert!(group.is_empty());
            });
        });
    }
}

/// A parallel child that has panicked is heard of, though the group ends for another cause before its turn comes.
#[tokio::test(start_paused = true)]
async fn a_parallel_childs_panic_is_not_lost_when_the_body_fails_first() {
    let group = TaskGroup::<Failed>::new();
    let run = group.run(async {
        let panicked = Arc::new(AtomicBool::new(false));
        let flag = panicked.clone();
        group.spawn_parallel::<(), _>(async move {
            flag.store(true, Ordering::SeqCst);
            panic!("the child")
        });
        while !panicked.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        Err::<(), _>(Failed::With("the body"))
    });
    let payload = bounded(AssertUnwindSafe(run).catch_unwind())
        .await
        .unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"the child"));
    assert_eq!(group.suppressed(), [Failed::With("the body")]);
}

/// Somebody's waker that panics as the group ends does not keep the end from being finished.
#[test]
fn a_waker_that_panics_at_the_end_stops_no_destructor_and_hangs_no_drop() {
    struct Bomb;
    impl std::task::Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("waker");
        }
    }
    super::probes::watched(|| {
        let dropped = AtomicUsize::new(0);
        let group = TaskGroup::<Failed>::new();
        let held = CountDrop(&dropped);
        let _task = group.spawn(async move {
            let _held = held;
            pending::<Result<(), _>>().await
        });
        let token = group.token();
        let mut watch = Box::pin(token.cancelled());
        let bomb = std::task::Waker::from(Arc::new(Bomb));
        assert!(
            watch
                .poll_unpin(&mut std::task::Context::from_waker(&bomb))
                .is_pending()
        );
        let cancelled = std::panic::catch_unwind(AssertUnwindSafe(|| group.cancel()));
        assert_eq!(
            cancelled.unwrap_err().downcast_ref::<&str>(),
            Some(&"waker")
        );
        assert_eq!(count(&dropped), 1);
        drop(group);
    });
}
