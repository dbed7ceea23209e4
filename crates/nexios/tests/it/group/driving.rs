//! Who drives the group: handles awaited outside `run`, drivers that are parked or go away, other tasks and threads.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use futures_util::{FutureExt, future::join_all};
use nexios::{CancelReason, OnError, Task, TaskGroup};
use tokio::sync::{Notify, oneshot};

use super::probes::{
    CountWakes, Failed, Gauge, after, cancelled, group, never, panic_text, panics, value, watched,
    within,
};

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

/// Awaiting one handle drives all children, not only its own.
#[tokio::test(start_paused = true)]
async fn one_awaited_handle_drives_the_whole_group() {
    let group = group();
    let side = AtomicUsize::new(0);
    let side_ref = &side;
    let group_of_two = super::probes::group();
    let waits = group_of_two.spawn(async move {
        while side_ref.load(Ordering::SeqCst) < 3 {
            after(1).await;
        }
        Ok(())
    });
    group_of_two.spawn(async move {
        for _ in 0..3 {
            after(5).await;
            side_ref.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    });
    assert_eq!(within(1000, waits).await, Ok(()));
    drop(group_of_two);
    assert_eq!(group.join().await, Ok(()));
}

/// TG-090: from any task or thread, without any runtime.
#[test]
fn handles_are_awaited_on_other_threads_without_a_runtime() {
    watched(|| {
        let group = group();
        let (send, receive) = oneshot::channel::<u32>();
        let waiting = group.spawn(async move { receive.await.map_err(|_| Failed::With("lost")) });
        let sending = group.spawn(async move {
            let _ = send.send(5);
            Ok(())
        });
        let one = thread::spawn(move || waiting.now_or_never_or_block());
        let two = thread::spawn(move || sending.now_or_never_or_block());
        assert_eq!(one.join().unwrap(), Ok(5));
        assert_eq!(two.join().unwrap(), Ok(()));
        drop(group);
    });
}

trait BlockOn: Future + Sized {
    /// Blocks the thread with a waker that unparks it; no runtime of any kind.
    fn now_or_never_or_block(self) -> Self::Output {
        struct Unpark(thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Arc::new(Unpark(thread::current())).into();
        let mut future = pin!(self);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
            thread::park();
        }
    }
}
impl<F: Future> BlockOn for F {}

/// RS-005
#[test]
fn groups_work_in_every_kind_of_executor() {
    async fn work() -> Result<usize, Failed> {
        let text = String::from("borrowed");
        let group = group();
        group
            .run(async {
                let one = group.spawn(async {
                    tokio::task::yield_now().await;
                    Ok(text.len())
                });
                let two = group.spawn(async { Ok(text.len()) });
                Ok(one.await? + two.await?)
            })
            .await
    }
    watched(|| {
        assert_eq!(work().now_or_never_or_block(), Ok(16));
        assert_eq!(block_on(work()), Ok(16));
        let local = tokio::task::LocalSet::new();
        assert_eq!(
            block_on(local.run_until(async { tokio::task::spawn_local(work()).await.unwrap() })),
            Ok(16)
        );
        let workers = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        assert_eq!(
            workers.block_on(async { tokio::spawn(work()).await.unwrap() }),
            Ok(16)
        );
        assert_eq!(workers.block_on(work()), Ok(16));
    });
}

/// The result of a handle that was dropped is nobody's loss: the child goes on.
#[tokio::test(start_paused = true)]
async fn dropping_a_handle_does_not_cancel_its_child() {
    let done = AtomicUsize::new(0);
    let done_ref = &done;
    let group = group();
    for _ in 0..3 {
        drop(group.spawn(async move {
            after(5).await;
            done_ref.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }));
    }
    group.join().await.unwrap();
    assert_eq!(done.load(Ordering::SeqCst), 3);
}

/// A task awaited by a sibling: in a chain, crosswise through a join, and from a nested group.
#[tokio::test(start_paused = true)]
async fn siblings_may_await_each_other() {
    let group = group();
    let total = group
        .run(async {
            let one = group.spawn(value(5, 1));
            let two = group.spawn(async move { Ok(one.await? + 1) });
            let three = group.spawn(async move {
                let inner = super::probes::group();
                inner
                    .run(async { inner.spawn(async { Ok(two.await? + 1) }).await })
                    .await
            });
            three.await
        })
        .await;
    assert_eq!(total, Ok(3));
}

/// A handle of the outer group awaited in the body and in children of the inner one, without `run`.
#[tokio::test(start_paused = true)]
async fn a_handle_of_the_outer_group_is_awaited_inside_an_inner_group_without_run() {
    let outer = group();
    let slow = outer.spawn(value(10, 1));
    let child = outer.spawn(async move {
        let inner = group();
        let inside = inner.spawn(async move { Ok(slow.await? + 1) });
        inside.await
    });
    assert_eq!(within(100, child).await, Ok(2));
}

/// RS-003: a handle in `select!` with a timer loses no result.
#[tokio::test(start_paused = true)]
async fn polling_a_handle_by_reference_loses_nothing() {
    for round in 0..1000_u64 {
        let group = group();
        let mut task = group.spawn(value(3, round));
        let mut rounds = 0;
        let result = loop {
            tokio::select! {
                result = &mut task => break result,
                () = after(1) => rounds += 1,
            }
        };
        assert_eq!(result, Ok(round));
        assert!(rounds <= 3);
    }
}

/// The last waker counts when a handle moves from one task to another.
#[tokio::test(start_paused = true)]
async fn the_waker_of_the_last_poll_is_the_one_that_is_called() {
    let (first, first_waker) = CountWakes::new();
    let (second, second_waker) = CountWakes::new();
    let gate = Notify::new();
    let group = group();
    let mut task = group.spawn(async {
        gate.notified().await;
        Ok(1)
    });
    assert!(
        Pin::new(&mut task)
            .poll(&mut Context::from_waker(&first_waker))
            .is_pending()
    );
    assert!(
        Pin::new(&mut task)
            .poll(&mut Context::from_waker(&second_waker))
            .is_pending()
    );
    gate.notify_one();
    assert_eq!((first.count(), second.count()), (0, 1));
    assert_eq!(task.now_or_never(), Some(Ok(1)));
}

/// A handle that is already finished never needs a driver.
#[tokio::test(start_paused = true)]
async fn finished_handles_are_ready_at_the_first_poll() {
    let group = group();
    let tasks: Vec<Task<'_, usize, Failed>> =
        (0..10).map(|n| group.spawn(async move { Ok(n) })).collect();
    group.join().await.unwrap();
    for (n, task) in tasks.into_iter().enumerate() {
        assert!(task.is_finished());
        assert_eq!(task.now_or_never(), Some(Ok(n)));
    }
}

/// After every handle was awaited, `run` still works: the group was never closed.
#[tokio::test(start_paused = true)]
async fn a_group_driven_by_handles_is_still_open_for_run() {
    let group = group();
    assert_eq!(group.spawn(value(1, 1)).await, Ok(1));
    assert!(group.is_empty());
    assert_eq!(group.token().reason(), None);
    assert_eq!(
        group.run(async { group.spawn(value(1, 2)).await }).await,
        Ok(2)
    );
}

/// A panic outside `run` resumes in an awaiter, once, and nobody hangs.
#[tokio::test(start_paused = true)]
async fn outside_run_a_panic_resumes_in_an_awaiter_and_the_others_are_told() {
    let group = Arc::new(group());
    let tasks: Vec<_> = [
        group.spawn(never()),
        group.spawn(panics(5, "boom")),
        group.spawn(never()),
    ]
    .into_iter()
    .map(tokio::spawn)
    .collect();
    let outcomes = within(1000, join_all(tasks)).await;
    let told = outcomes
        .iter()
        .filter(
            |outcome| matches!(outcome, Ok(Err(error)) if *error == cancelled(CancelReason::SiblingFailed)),
        )
        .count();
    let panicked = outcomes
        .iter()
        .filter(|outcome| outcome.as_ref().is_err_and(|error| error.is_panic()))
        .count();
    assert_eq!((told, panicked), (2, 1));
}

/// The failed child's own awaiter panics as well, if it is the only one.
#[tokio::test(start_paused = true)]
async fn the_only_awaiter_gets_the_panic() {
    let group = group();
    let task = group.spawn(panics(5, "boom"));
    assert_eq!(panic_text(task).await, "boom");
    drop(group);
}

/// A lock held across an await by one child and wanted by another, pitfall 3.6: all children are polled.
#[tokio::test(start_paused = true)]
async fn no_child_is_left_unpolled_while_it_holds_a_lock() {
    let lock = tokio::sync::Mutex::new(0);
    let group = group();
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            group.spawn(async {
                let mut held = lock.lock().await;
                after(1).await;
                *held += 1;
                Ok(())
            })
        })
        .collect();
    for task in tasks.into_iter().rev() {
        within(1000, task).await.unwrap();
    }
    drop(group);
    assert_eq!(lock.into_inner(), 4);
}

/// Two tasks take turns at being polled while the other is not; each always finds its way.
#[tokio::test(start_paused = true)]
async fn awaiters_in_different_tasks_all_get_their_results() {
    let group = Arc::new(group());
    let awaiters: Vec<_> = (0..50_u64)
        .map(|n| tokio::spawn(group.spawn(value((n * 7) % 13, n))))
        .collect();
    let results = within(1000, join_all(awaiters)).await;
    for (n, result) in (0..).zip(results) {
        assert_eq!(result.unwrap(), Ok(n));
    }
}

/// Under `Continue` several awaiters of several failures all get their own.
#[tokio::test(start_paused = true)]
async fn under_continue_awaiters_outside_run_get_their_own_errors() {
    let group = TaskGroup::builder().on_error(OnError::Continue).build();
    let tasks: Vec<_> = (0..10)
        .map(|n| group.spawn(async move { Err::<(), _>(Failed::Number(n)) }))
        .collect();
    for (n, task) in tasks.into_iter().enumerate().rev() {
        assert_eq!(task.await, Err(Failed::Number(n)));
    }
}

/// A handle of a group polled in a destructor of its own child neither drives nor hangs.
#[tokio::test(start_paused = true)]
async fn a_handle_polled_in_a_siblings_destructor_is_only_looked_at() {
    let gauge = Gauge::default();
    let group = group();
    let held = gauge.clone();
    let sibling = group.spawn(async move {
        let _inside = held.enter();
        never::<()>().await
    });
    let mut sibling = Some(sibling);
    let child = group.spawn(async move {
        let _looks = super::probes::OnDrop(move || {
            let sibling = sibling.take().unwrap();
            let found = sibling.now_or_never();
            assert!(!matches!(found, Some(Ok(()))));
        });
        never::<()>().await
    });
    let waker = futures_util::task::noop_waker();
    assert!(
        poll_fn(|_| Poll::Ready(
            Box::pin(group.join())
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        ))
        .await
    );
    drop(child);
    drop(group);
    assert_eq!(gauge.live(), 0);
}
