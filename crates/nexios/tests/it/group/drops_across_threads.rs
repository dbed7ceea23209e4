//! Dropping a group while another thread is inside one of its children.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::Poll,
    thread,
};

use nexios::{CancelReason, TaskGroup};

use super::probes::{Failed, Gauge, OnDrop, cancelled, group, never, text_of, watched};

/// RS-002: another thread is inside a child's poll: `drop` waits until that poll has returned, whatever it
/// returns, and the child is never polled again.
fn drop_while_polled_elsewhere(ends_with: fn() -> Poll<Result<(), Failed>>) {
    watched(move || {
        let (entered, wait_entered) = mpsc::channel();
        let (release, wait_release) = mpsc::channel::<()>();
        let polls = Arc::new(AtomicUsize::new(0));
        let gone = Arc::new(AtomicBool::new(false));
        let group = group();
        let (count, flag) = (polls.clone(), gone.clone());
        let task = group.spawn(async move {
            let _gone = OnDrop(move || flag.store(true, Ordering::SeqCst));
            let mut first = true;
            poll_fn(move |cx| {
                cx.waker().wake_by_ref();
                count.fetch_add(1, Ordering::SeqCst);
                if std::mem::take(&mut first) {
                    entered.send(()).unwrap();
                    wait_release.recv().unwrap();
                }
                ends_with()
            })
            .await
        });
        let (dropped, wait_dropped) = mpsc::channel();
        let on_drop = OnDrop(move || dropped.send(()).unwrap());
        group.spawn(async move {
            let _on_drop = on_drop;
            never::<()>().await
        });
        let driver = thread::spawn(move || {
            catch_unwind(AssertUnwindSafe(|| futures_util_block_on(task)))
                .map_err(|payload| text_of(&*payload))
        });
        wait_entered.recv().unwrap();
        let dropper = thread::spawn(move || {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(group)));
            assert!(
                gone.load(Ordering::SeqCst),
                "the child is gone when drop returns"
            );
        });
        // The drop has begun: it has reached the child that nobody polls. Now it has time enough to return.
        wait_dropped.recv().unwrap();
        for _ in 0..10_000 {
            thread::yield_now();
            assert!(!dropper.is_finished(), "drop waits for the poll");
        }
        release.send(()).unwrap();
        dropper.join().unwrap();
        let _outcome = driver.join().unwrap();
        assert_eq!(polls.load(Ordering::SeqCst), 1);
    });
}

/// Blocks this thread on a future, outside of any runtime.
fn futures_util_block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn drop_waits_for_a_poll_on_another_thread_that_stays_pending() {
    drop_while_polled_elsewhere(|| Poll::Pending);
}

#[test]
fn drop_waits_for_a_poll_on_another_thread_that_finishes() {
    drop_while_polled_elsewhere(|| Poll::Ready(Ok(())));
}

#[test]
fn drop_waits_for_a_poll_on_another_thread_that_fails() {
    drop_while_polled_elsewhere(|| Poll::Ready(Err(Failed::With("late"))));
}

#[test]
fn drop_waits_for_a_poll_on_another_thread_that_panics() {
    drop_while_polled_elsewhere(|| panic!("late panic"));
}

/// The same for `cancel()` of one task: it does not wait, and the driver drops the child as its poll returns.
#[test]
fn cancelling_a_child_polled_elsewhere_does_not_wait() {
    watched(|| {
        let (entered, wait_entered) = mpsc::channel();
        let (release, wait_release) = mpsc::channel::<()>();
        let gauge = Gauge::default();
        let group = group();
        let held = gauge.clone();
        let task = Arc::new(group.spawn(async move {
            let _inside = held.enter();
            entered.send(()).unwrap();
            wait_release.recv().unwrap();
            never::<()>().await
        }));
        let other = group.spawn(value_without_time(7));
        let driver = thread::spawn(move || futures_util_block_on(other));
        wait_entered.recv().unwrap();
        task.cancel();
        assert!(!task.is_finished());
        release.send(()).unwrap();
        assert_eq!(driver.join().unwrap(), Ok(7));
        let task = Arc::into_inner(task).unwrap();
        assert_eq!(
            futures_util_block_on(task),
            Err(cancelled(CancelReason::Requested))
        );
        assert_eq!(gauge.live(), 0);
    });
}

async fn value_without_time<T>(value: T) -> Result<T, Failed> {
    tokio::task::yield_now().await;
    Ok(value)
}

/// A thread that is itself inside an in-task poll does not wait for another thread's poll: two groups that drop
/// each other's owners from their children cannot deadlock.
#[test]
fn two_groups_dropped_crosswise_from_inside_polls_do_not_deadlock() {
    watched(|| {
        for _ in 0..50 {
            let barrier = Arc::new(std::sync::Barrier::new(2));
            let a = Arc::new(std::sync::Mutex::new(None::<TaskGroup<'static, Failed>>));
            let b = Arc::new(std::sync::Mutex::new(None::<TaskGroup<'static, Failed>>));
            let gauge = Gauge::default();
            let child = |other: Arc<std::sync::Mutex<Option<TaskGroup<'static, Failed>>>>| {
                let (barrier, held) = (barrier.clone(), gauge.clone());
                async move {
                    let _inside = held.enter();
                    barrier.wait();
                    let other = other.lock().unwrap().take();
                    drop(other);
                    barrier.wait();
                    never::<()>().await
                }
            };
            let (group_a, group_b) = (group(), group());
            let task_a = group_a.spawn(child(b.clone()));
            let task_b = group_b.spawn(child(a.clone()));
            *a.lock().unwrap() = Some(group_a);
            *b.lock().unwrap() = Some(group_b);
            let threads =
                [task_a, task_b].map(|task| thread::spawn(move || futures_util_block_on(task)));
            for thread in threads {
                assert_eq!(
                    thread.join().unwrap(),
                    Err(cancelled(CancelReason::OwnerDropped))
                );
            }
            assert_eq!(gauge.live(), 0);
        }
    });
}
