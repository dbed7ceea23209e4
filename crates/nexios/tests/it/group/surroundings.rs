//! What is around a group: runtimes that end, clocks that are paused, spans and task-locals, other threads.

use std::{
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::{Arc, atomic::AtomicUsize, mpsc},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use futures_util::future::poll_immediate;
use nexios::{CancelReason, CancelScope, CancelToken, Interrupted, Spawner, Task, TaskGroup};
use tokio::{runtime::Builder, time::Instant};
use tracing::{Instrument, Level};

use super::logs::Logs;
use super::probes::{
    CountDrop, Failed, after, bounded, cancelled, count, millis, settle, soon, watched,
};

/// RS-006: a waiter on another thread hears that the owner is gone when the runtime goes.
#[test]
fn a_waiter_outside_a_runtime_that_goes_gets_a_typed_error() {
    watched(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let dropped = Arc::new(AtomicUsize::new(0));
        let (hand, handle) = mpsc::channel();
        let counted = dropped.clone();
        runtime.spawn(async move {
            let group = TaskGroup::<Failed>::new();
            let task = group.spawn(async move {
                let _held = CountDrop(&counted);
                pending::<Result<(), _>>().await
            });
            hand.send(task).unwrap();
            group.join().await
        });
        runtime.block_on(settle());
        let task = handle.recv().unwrap();
        let waiter = thread::spawn(move || {
            let own = Builder::new_current_thread().build().unwrap();
            own.block_on(task)
        });
        drop(runtime);
        assert_eq!(count(&dropped), 1);
        assert_eq!(
            waiter.join().unwrap(),
            Err(cancelled(CancelReason::OwnerDropped))
        );
    });
}

/// RS-006: the group itself may live longer than the runtime its time limit was counted on.
#[test]
fn a_time_limit_whose_runtime_goes_is_a_shutdown_and_no_panic() {
    watched(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let group = TaskGroup::builder()
            .timeout(Duration::from_secs(3_600))
            .build();
        let mut task = group.spawn(pending::<Result<(), Failed>>());
        assert!(runtime.block_on(poll_immediate(&mut task)).is_none());
        drop(runtime);
        let outcome = pin!(task).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(outcome, Poll::Ready(Err(cancelled(CancelReason::Shutdown))));
        assert_eq!(group.token().reason(), Some(CancelReason::Shutdown));
    });
}

/// RS-006: waits that need no runtime go on after it.
#[test]
fn a_group_without_a_time_limit_goes_on_when_its_runtime_has_gone() {
    watched(|| {
        let first = Builder::new_current_thread().enable_all().build().unwrap();
        let group = TaskGroup::<Failed>::new();
        let (send, receive) = tokio::sync::oneshot::channel();
        let mut task =
            group.spawn(async move { receive.await.map_err(|_| Failed::With("nobody")) });
        assert!(first.block_on(poll_immediate(&mut task)).is_none());
        drop(first);
        send.send(1).unwrap();
        let second = Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(second.block_on(soon(task)), Ok(1));
    });
}

fn is_send<T: Send>(value: T) -> T {
    value
}

fn is_send_and_sync<T: Send + Sync>(_: &T) {}

/// RS-007: what is promised at compile time.
#[tokio::test]
async fn futures_are_send_handles_are_send_and_sync_and_nothing_has_to_be_static() {
    let text = String::from("borrowed");
    let group = TaskGroup::<Failed>::new();
    is_send_and_sync(&group);
    is_send_and_sync(&group.spawner());
    is_send_and_sync(&group.token());
    let task: Task<'_, &str, Failed> = group.spawn(async { Ok(text.as_str()) });
    is_send_and_sync(&task);
    let spawner: Spawner<'_, Failed> = group.spawner();
    let other = spawner.spawn(async { Ok(text.len()) });
    let total = is_send(group.run(async {
        let mapped = is_send(group.map([&text, &text], |text| async { Ok(text.len()) })).await?;
        Ok(is_send(task).await?.len() + is_send(other).await? + mapped.len())
    }));
    assert_eq!(total.await, Ok(18));
    is_send(pin!(group.map_unordered([1], |n| async move { Ok(n) })));
    assert!(is_send(group.join()).await.is_err());
}

/// RS-007: values and errors that are only `Send` are enough, also in another thread's hands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_need_not_be_sync() {
    let group = TaskGroup::<Failed>::new();
    let task = group.spawn_parallel(async { Ok(std::cell::Cell::new(1)) });
    is_send_and_sync(&task);
    assert_eq!(soon(task).await.map(|cell| cell.get()), Ok(1));
}

/// RS-010: a day of limits and graces takes no time on a paused clock, and a real one is never waited for.
#[tokio::test(start_paused = true)]
async fn every_wait_is_on_the_clock_of_the_runtime() {
    let (begun, real) = (Instant::now(), std::time::Instant::now());
    let hour = Duration::from_secs(3_600);
    let group = TaskGroup::builder()
        .timeout(12 * hour)
        .grace(11 * hour)
        .build();
    group.spawn(pending::<Result<(), Failed>>());
    group.defer(async move { tokio::time::sleep(hour).await });
    assert_eq!(
        group.join().await,
        Err(Failed::Interrupted(Interrupted::DeadlineExceeded))
    );
    assert_eq!(begun.elapsed(), 24 * hour);
    assert!(real.elapsed() < Duration::from_secs(60));
}

tokio::task_local! {
    static REQUEST: &'static str;
}

fn request() -> Option<&'static str> {
    REQUEST.try_with(|request| *request).ok()
}

/// RS-011, T14: an in-task child is in its driver's place: span, task-locals, scope and all.
#[tokio::test(start_paused = true)]
async fn an_in_task_child_sees_the_span_the_task_locals_and_the_scope_around_the_group() {
    let (logs, _guard) = Logs::capture();
    let deadline = Instant::now() + millis(500);
    let scope = CancelScope::new(CancelToken::new(), Some(deadline));
    let handler = async {
        let group = TaskGroup::<Failed>::new();
        group
            .run(async {
                let child = group.spawn_named("child", async {
                    tracing::info!("in the child");
                    Ok((
                        request(),
                        CancelScope::current().and_then(|scope| scope.deadline()),
                    ))
                });
                child.await
            })
            .await
    };
    let handler = handler.instrument(tracing::info_span!("request", id = 7));
    let seen = bounded(scope.run(REQUEST.scope("seven", handler))).await;
    assert_eq!(seen, Ok((Some("seven"), Some(deadline))));
    let event = logs.at(Level::INFO).pop().unwrap();
    assert!(event.text.contains("in the child"));
    assert!(event.spans[0].contains("id=7"), "{event:?}");
    assert!(event.spans.last().unwrap().contains("child"), "{event:?}");
}

/// RS-011, T14: a parallel child has the span of whoever spawned it.
#[tokio::test(start_paused = true)]
async fn a_parallel_child_has_the_span_of_its_spawner() {
    let (logs, _guard) = Logs::capture();
    let group = TaskGroup::<Failed>::new();
    let log = |text: &'static str| async move {
        settle().await;
        tracing::info!("{text}");
        Ok::<_, Failed>(())
    };
    let inside =
        tracing::info_span!("request", id = 8).in_scope(|| group.spawn_parallel(log("inside")));
    let outside = group.spawn_parallel(log("outside"));
    let both = bounded(async { (inside.await, outside.await) }).await;
    assert_eq!(both, (Ok(()), Ok(())));
    let events = logs.at(Level::INFO);
    let spans = |text: &str| {
        events
            .iter()
            .find(|event| event.text.contains(text))
            .unwrap()
            .spans
            .join(" > ")
    };
    assert!(spans("inside").contains("id=8"), "{}", spans("inside"));
    assert!(!spans("outside").contains("id=8"), "{}", spans("outside"));
}

/// PITFALLS 1.8: task-locals do not cross to another task by themselves; what shall cross is passed on by name.
#[tokio::test(start_paused = true)]
async fn task_locals_reach_a_parallel_child_only_if_they_are_passed_on() {
    let seen = REQUEST
        .scope("eight", async {
            let group = TaskGroup::<Failed>::new();
            let bare = group.spawn_parallel(async { Ok(request()) });
            let passed =
                group.spawn_parallel(REQUEST.scope(REQUEST.get(), async { Ok(request()) }));
            bounded(group.run(async { Ok((bare.await?, passed.await?)) })).await
        })
        .await;
    assert_eq!(seen, Ok((None, Some("eight"))));
}

/// PITFALLS 1.8: the scope is opt-in as well; passed on, an inner group in a parallel child ends with it.
#[tokio::test(start_paused = true)]
async fn a_scope_passed_on_to_a_parallel_child_ends_the_groups_in_it() {
    let scope = CancelScope::new(CancelToken::new(), None);
    let told = scope
        .run(async {
            let group = TaskGroup::<Failed>::builder_with_grace(millis(50));
            let scope = CancelScope::current().unwrap();
            let child = group.spawn_parallel(async move {
                scope
                    .run(async {
                        let inner = TaskGroup::<Failed>::new();
                        let outcome: Result<(), _> = inner.run(pending()).await;
                        Ok(outcome)
                    })
                    .await
            });
            let fire = async {
                after(10).await;
                CancelScope::current()
                    .unwrap()
                    .token()
                    .cancel(CancelReason::ClientDisconnected);
            };
            let (_, ()) = bounded(async { tokio::join!(group.join(), fire) }).await;
            bounded(child).await
        })
        .await;
    assert_eq!(told, Ok(Err(cancelled(CancelReason::ClientDisconnected))));
}

trait WithGrace {
    fn builder_with_grace(grace: Duration) -> Self;
}

impl WithGrace for TaskGroup<'_, Failed> {
    fn builder_with_grace(grace: Duration) -> Self {
        TaskGroup::builder().grace(grace).build()
    }
}

/// T14: whoever drives from another task is in another place, and the child with it.
#[tokio::test(start_paused = true)]
async fn a_child_driven_by_another_task_sees_that_tasks_locals() {
    let group = TaskGroup::<Failed>::new();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = seen.clone();
    let task = group.spawn(poll_fn(move |cx| {
        let mut noted = noted.lock().unwrap();
        noted.push(request());
        cx.waker().wake_by_ref();
        if noted.len() < 3 {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }));
    let driver = tokio::spawn(REQUEST.scope("driver", task));
    assert_eq!(bounded(driver).await.unwrap(), Ok(()));
    assert!(
        seen.lock()
            .unwrap()
            .iter()
            .all(|request| *request == Some("driver"))
    );
    assert_eq!(request(), None);
}
