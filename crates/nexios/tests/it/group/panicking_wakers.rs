//! Wakers that panic: whoever else waits, ends or is told does so all the same.

use std::{
    future::{Future, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, atomic::AtomicUsize},
    task::{Context, Poll, Wake, Waker},
};

use futures_util::FutureExt;
use nexios::{CancelToken, Spawner, Task, TaskGroup};
use tokio::runtime::{Builder, Runtime};

use super::probes::{
    CountDrop, CountWakes, Failed, OnDrop, count, poll_once, soon, text_of, watched,
};

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("waker");
    }
}

fn bomb() -> Waker {
    Waker::from(Arc::new(Bomb))
}

/// Somebody who waits for the group, with a waker that panics.
fn await_with_bomb<T>(task: &mut Task<'_, T, Failed>) {
    assert!(
        Pin::new(task)
            .poll(&mut Context::from_waker(&bomb()))
            .is_pending()
    );
}

/// Ends the wait without a panic.
fn cancel<T>(mut task: Task<'_, T, Failed>) {
    assert!(poll_once(Pin::new(&mut task)).is_pending());
    task.cancel();
}

/// Somebody who waits for the token, with a waker that panics.
fn watch_with_bomb(token: &CancelToken) -> impl Future + Unpin + use<> {
    let token = token.clone();
    let mut watch = Box::pin(async move { token.cancelled().await });
    assert!(
        watch
            .poll_unpin(&mut Context::from_waker(&bomb()))
            .is_pending()
    );
    watch
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    text_of(&*catch_unwind(AssertUnwindSafe(f)).map(drop).unwrap_err())
}

/// A value whose destructor looks at the group.
struct LooksAtGroup(Spawner<'static, Failed>, Arc<AtomicUsize>);

impl Drop for LooksAtGroup {
    fn drop(&mut self) {
        drop(self.0.token());
        self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn a_spawn_that_wakes_a_panicking_waker_leaves_nothing_to_be_dropped_under_a_lock() {
    watched(|| {
        let group = TaskGroup::<Failed>::new();
        let mut waits = group.spawn(pending::<Result<(), _>>());
        await_with_bomb(&mut waits);
        let dropped = Arc::new(AtomicUsize::new(0));
        let value = LooksAtGroup(group.spawner(), dropped.clone());
        assert_eq!(panic_of(|| group.spawn(async move { Ok(value) })), "waker");
        cancel(waits);
        assert_eq!(runtime().block_on(soon(group.join())), Ok(()));
        assert_eq!(count(&dropped), 1);
    });
}

#[test]
fn a_parallel_spawn_wakes_nobody() {
    watched(|| {
        let runtime = runtime();
        let _entered = runtime.enter();
        let group = TaskGroup::<Failed>::new();
        let mut waits = group.spawn(pending::<Result<(), _>>());
        await_with_bomb(&mut waits);
        let spawned = catch_unwind(AssertUnwindSafe(|| group.spawn_parallel(async { Ok(7) })));
        cancel(waits);
        assert_eq!(
            runtime.block_on(soon(group.join())),
            Ok(()),
            "a child that was never started never ends"
        );
        assert_eq!(runtime.block_on(spawned.unwrap()), Ok(7));
    });
}

#[test]
fn the_handle_of_a_failed_child_is_told_though_the_token_wakes_one_that_panics() {
    watched(|| {
        let group = TaskGroup::<Failed>::new();
        let _watch = watch_with_bomb(&group.token());
        let mut fails = group.spawn(async { Err::<(), _>(Failed::With("child")) });
        assert_eq!(panic_of(|| poll_once(Pin::new(&mut fails))), "waker");
        assert!(fails.is_finished());
        assert_eq!(
            poll_once(Pin::new(&mut fails)),
            Poll::Ready(Err(Failed::With("child")))
        );
    });
}

#[test]
fn a_group_ends_though_a_cancelled_childs_destructor_and_a_tokens_waker_panic() {
    watched(|| {
        for drops in [false, true] {
            let group = TaskGroup::<Failed>::new();
            let _watch = watch_with_bomb(&group.token());
            let held = OnDrop(|| panic!("destructor"));
            let task = group.spawn(async move {
                let _held = held;
                pending::<Result<(), _>>().await
            });
            let dropped = Arc::new(AtomicUsize::new(0));
            let sibling = LooksAtGroup(group.spawner(), dropped.clone());
            group.spawn(async move {
                let _sibling = sibling;
                pending::<Result<(), _>>().await
            });
            assert_eq!(panic_of(|| task.cancel()), "waker");
            assert_eq!(count(&dropped), 1);
            assert!(task.is_finished() && group.is_empty());
            if drops {
                assert_eq!(panic_of(|| drop(group)), "destructor");
            } else {
                assert_eq!(
                    panic_of(|| runtime().block_on(soon(group.join()))),
                    "destructor"
                );
            }
        }
    });
}

#[test]
fn a_waker_that_panics_strands_nobody_who_waits_beside_it() {
    watched(|| {
        let group = TaskGroup::<Failed>::new();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut first = group.spawn(pending::<Result<(), _>>());
        let mut second = group.spawn(async { Ok(receiver.await) });
        await_with_bomb(&mut first);
        let (wakes, waker) = CountWakes::new();
        assert!(
            Pin::new(&mut second)
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        assert_eq!(panic_of(|| sender.send(7)), "waker");
        assert_eq!(wakes.count(), 1);
        assert_eq!(poll_once(Pin::new(&mut second)), Poll::Ready(Ok(Ok(7))));
    });
}

#[test]
fn a_map_in_the_body_hears_of_the_end_though_the_token_wakes_one_that_panics() {
    watched(|| {
        let group = TaskGroup::<Failed>::new();
        let _watch = watch_with_bomb(&group.token());
        let (wakes, waker) = CountWakes::new();
        let mut run = pin!(group.run(async {
            let mapped = group.map([1], |_| pending::<Result<(), Failed>>()).await;
            Ok(mapped.is_err())
        }));
        assert!(
            run.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        assert_eq!(panic_of(|| group.cancel()), "waker");
        assert!(wakes.count() > 0);
        assert_eq!(poll_once(run), Poll::Ready(Ok(true)));
    });
}

#[test]
fn a_parallel_childs_end_is_its_own_though_its_report_wakes_one_that_panics() {
    watched(|| {
        for panics in [false, true] {
            let runtime = runtime();
            let _entered = runtime.enter();
            let group = TaskGroup::<Failed>::new();
            let mut waits = group.spawn(pending::<Result<(), _>>());
            let mut task =
                group.spawn_parallel(async move { if panics { panic!("child") } else { Ok(7) } });
            await_with_bomb(&mut waits);
            runtime.block_on(async {
                while !task.is_finished() {
                    tokio::task::yield_now().await;
                }
            });
            let ended = catch_unwind(AssertUnwindSafe(|| poll_once(Pin::new(&mut task))));
            match ended {
                Ok(ended) => {
                    assert_eq!((panics, ended), (false, Poll::Ready(Ok(7))));
                    cancel(waits);
                }
                Err(payload) => assert_eq!((panics, text_of(&*payload).as_str()), (true, "child")),
            }
        }
    });
}

/// A second panic out of a destructor would abort the process.
#[test]
fn a_group_that_is_dropped_by_a_panic_survives_a_waker_that_panics() {
    watched(|| {
        for runs in [false, true] {
            let dropped = AtomicUsize::new(0);
            let text = panic_of(|| {
                let group = TaskGroup::<Failed>::new();
                let held = CountDrop(&dropped);
                let mut waits = group.spawn(async move {
                    let _held = held;
                    pending::<Result<(), _>>().await
                });
                let mut run = pin!(group.run(pending::<Result<(), _>>()));
                if runs {
                    assert!(poll_once(run.as_mut()).is_pending());
                }
                await_with_bomb(&mut waits);
                panic!("the owner");
            });
            assert_eq!(text, "the owner");
            assert_eq!(count(&dropped), 1);
        }
    });
}

/// The body is dropped before the child's failure is written down.
#[test]
fn the_handle_of_a_failed_child_is_told_though_the_bodys_destructor_and_a_waker_panic() {
    watched(|| {
        let group = TaskGroup::<Failed>::new();
        let _watch = watch_with_bomb(&group.token());
        let mut fails = group.spawn(async { Err::<(), _>(Failed::With("child")) });
        let held = OnDrop(|| panic!("destructor"));
        let mut run = Box::pin(group.run(async move {
            let _held = held;
            pending::<Result<(), _>>().await
        }));
        assert_eq!(panic_of(|| poll_once(run.as_mut())), "waker");
        assert!(fails.is_finished());
        // The first panic that was the group's own comes out of whoever asks first.
        assert_eq!(panic_of(|| poll_once(Pin::new(&mut fails))), "destructor");
        assert_eq!(group.suppressed(), [Failed::With("child")]);
    });
}
