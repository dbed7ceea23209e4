//! Wakes: only woken children are polled, nobody starves, and a waker may be called at any time.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
};

use futures_util::{FutureExt, future::BoxFuture};
use nexios::{Spawner, TaskGroup};
use tokio::sync::{Notify, mpsc};

use super::probes::{
    CountWakes, Failed, OnDrop, after, counted, group, millis, never, poll_once, too_late, value,
    within,
};

/// A thousand children, one of them woken: one poll.
#[tokio::test(start_paused = true)]
async fn only_woken_children_are_polled() {
    let polls: Vec<_> = (0..1000).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let gates: Vec<_> = (0..1000).map(|_| Notify::new()).collect();
    let group = group();
    for (polls, gate) in polls.iter().zip(&gates) {
        group.spawn(counted(polls, async move {
            gate.notified().await;
            gate.notified().await;
            Ok(())
        }));
    }
    let mut join = Box::pin(group.join());
    // A turn makes a bounded number of polls, so the first ones take several turns.
    while polls
        .iter()
        .map(|polls| polls.load(Ordering::SeqCst))
        .sum::<usize>()
        < 1000
    {
        assert!(poll_once(join.as_mut()).is_pending());
    }
    let total = || {
        polls
            .iter()
            .map(|polls| polls.load(Ordering::SeqCst))
            .sum::<usize>()
    };
    for _ in 0..100 {
        assert!(poll_once(join.as_mut()).is_pending());
    }
    assert_eq!(
        total(),
        1000,
        "a poll of the group without a wake polls no child"
    );
    for woken in [500, 3, 999] {
        gates[woken].notify_one();
        assert!(poll_once(join.as_mut()).is_pending());
        assert_eq!(polls[woken].load(Ordering::SeqCst), 2);
    }
    assert_eq!(total(), 1003);
}

/// Children that end in the reverse order need two polls each: no scan on each wake (pitfall 1.6, and the quadratic
/// polls of small `try_join_all`).
#[tokio::test(start_paused = true)]
async fn the_number_of_polls_is_linear_in_the_number_of_children() {
    let polls = Arc::new(AtomicUsize::new(0));
    let group = group();
    for n in 0..500_u64 {
        group.spawn(counted(&polls, value(500 - n, ())));
    }
    group.join().await.unwrap();
    assert_eq!(polls.load(Ordering::SeqCst), 1000);
}

/// Pitfall 1.6: children go on while the body awaits something else.
#[tokio::test(start_paused = true)]
async fn children_run_while_the_body_awaits_something_else() {
    let (send, mut receive) = mpsc::channel(1);
    let group = group();
    let sum = group
        .run(async {
            group.spawn(async move {
                for n in 1..=10 {
                    after(1).await;
                    send.send(n).await.map_err(|_| Failed::With("closed"))?;
                }
                Ok(())
            });
            let mut sum = 0;
            while let Some(n) = receive.recv().await {
                after(3).await;
                sum += n;
            }
            Ok(sum)
        })
        .await;
    assert_eq!(sum, Ok(55));
}

/// The body is a child like any other: polled only when woken.
#[tokio::test(start_paused = true)]
async fn the_body_is_polled_only_when_woken() {
    let polls = Arc::new(AtomicUsize::new(0));
    let group = group();
    for n in 0..100 {
        group.spawn(value(n, ()));
    }
    group.run(counted(&polls, value(200, ()))).await.unwrap();
    assert_eq!(polls.load(Ordering::SeqCst), 2);
}

/// A wake during a child's own poll is not lost.
#[tokio::test(start_paused = true)]
async fn a_wake_during_the_poll_leads_to_another_poll() {
    let group = group();
    let polls = Arc::new(AtomicUsize::new(0));
    let mut left = 5;
    let task = group.spawn(counted(
        &polls,
        poll_fn(move |cx| {
            cx.waker().wake_by_ref();
            left -= 1;
            if left == 0 {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        }),
    ));
    within(100, task).await.unwrap();
    assert_eq!(polls.load(Ordering::SeqCst), 5);
}

/// Many wakes before the next poll are one poll.
#[tokio::test(start_paused = true)]
async fn many_wakes_are_one_poll() {
    let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
    let polls = Arc::new(AtomicUsize::new(0));
    let group = group();
    let keeps = kept.clone();
    group.spawn(counted(
        &polls,
        poll_fn(move |cx| {
            *keeps.lock().unwrap() = Some(cx.waker().clone());
            Poll::<Result<(), Failed>>::Pending
        }),
    ));
    let (parent, waker) = CountWakes::new();
    let mut join = pin!(group.join());
    let mut cx = std::task::Context::from_waker(&waker);
    assert!(join.as_mut().poll(&mut cx).is_pending());
    let child = kept.lock().unwrap().clone().unwrap();
    for _ in 0..1000 {
        child.wake_by_ref();
    }
    assert_eq!(parent.count(), 1, "the parent is woken once");
    assert!(join.as_mut().poll(&mut cx).is_pending());
    assert_eq!(polls.load(Ordering::SeqCst), 2);
}

/// Wakers called when their child, their group, or its memory is gone do nothing.
#[tokio::test(start_paused = true)]
async fn late_wakes_are_harmless() {
    let kept: Arc<Mutex<Vec<Waker>>> = Arc::default();
    let group = group();
    let keep = |pendings: usize| {
        let (kept, mut left) = (kept.clone(), pendings);
        poll_fn(move |cx| {
            kept.lock().unwrap().push(cx.waker().clone());
            if left == 0 {
                return Poll::Ready(Ok(()));
            }
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    };
    group.spawn(keep(0)).await.unwrap();
    group.spawn(keep(3)).await.unwrap();
    let old: Vec<_> = kept.lock().unwrap().clone();
    // New children take the places of the old ones; the old wakers do not poll them.
    let polls = Arc::new(AtomicUsize::new(0));
    let fresh: Vec<_> = (0..4)
        .map(|_| group.spawn(counted(&polls, never::<()>())))
        .collect();
    let mut waiting = pin!(futures_util::future::join_all(fresh));
    assert!(poll_once(waiting.as_mut()).is_pending());
    for waker in &old {
        waker.wake_by_ref();
    }
    assert!(poll_once(waiting.as_mut()).is_pending());
    assert_eq!(polls.load(Ordering::SeqCst), 4);
    drop(group);
    for waker in old {
        waker.wake();
    }
    for waker in kept.lock().unwrap().drain(..) {
        waker.wake();
    }
}

/// A waker is called from another thread after everything is gone.
#[test]
fn a_waker_outlives_the_runtime_and_the_group() {
    let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
    let keeps = kept.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async move {
        let group = group();
        let mut task = pin!(group.spawn(poll_fn(move |cx| {
            *keeps.lock().unwrap() = Some(cx.waker().clone());
            Poll::<Result<(), Failed>>::Pending
        })));
        assert!(poll_once(task.as_mut()).is_pending());
    });
    drop(runtime);
    let waker = kept.lock().unwrap().take().unwrap();
    std::thread::spawn(move || waker.wake()).join().unwrap();
}

async fn wakes_itself_for_ever() -> Result<(), Failed> {
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// A child that always wakes itself lets its siblings, the body and other tasks have their turns.
#[tokio::test(start_paused = true)]
async fn a_child_that_always_wakes_itself_starves_nobody() {
    let turns = Arc::new(AtomicUsize::new(0));
    let count = turns.clone();
    let other_task = tokio::spawn(async move {
        for _ in 0..10 {
            tokio::task::yield_now().await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let group = group();
    let outcome = group
        .run(async {
            group.spawn(wakes_itself_for_ever());
            let sibling = group.spawn(async {
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
                Ok(1)
            });
            let one = sibling.await?;
            while turns.load(Ordering::SeqCst) < 10 {
                tokio::task::yield_now().await;
            }
            group.cancel();
            Ok(one)
        })
        .await;
    assert_eq!(outcome, Ok(1));
    other_task.await.unwrap();
}

/// The same three groups deep: the polls of one turn do not multiply.
#[tokio::test(start_paused = true)]
async fn nested_groups_do_not_multiply_the_length_of_a_turn() {
    let polls = Arc::new(AtomicUsize::new(0));
    let count = polls.clone();
    let busy = async move {
        poll_fn(|cx| {
            count.fetch_add(1, Ordering::SeqCst);
            cx.waker().wake_by_ref();
            Poll::<Result<(), Failed>>::Pending
        })
        .await
    };
    let outer = group();
    let mut run = pin!(outer.run(async {
        outer
            .spawn(async {
                let middle = group();
                middle
                    .run(async {
                        middle
                            .spawn(async {
                                let inner = group();
                                inner.run(async { inner.spawn(busy).await }).await
                            })
                            .await
                    })
                    .await
            })
            .await
    }));
    assert!(poll_once(run.as_mut()).is_pending());
    let one_turn = polls.load(Ordering::SeqCst);
    assert!(
        one_turn <= 1024,
        "{one_turn} polls in one turn of the outermost group"
    );
}

/// Time goes on: a deadline fires although a child is always ready.
#[tokio::test(start_paused = true)]
async fn a_busy_child_does_not_keep_the_deadline_away() {
    let clock = tokio::spawn(async {
        for _ in 0..100 {
            tokio::time::advance(millis(1)).await;
        }
    });
    let group = TaskGroup::builder().timeout(millis(50)).build();
    group.spawn(wakes_itself_for_ever());
    assert_eq!(group.join().await, Err(too_late()));
    clock.await.unwrap();
}

/// tokio's budget is kept: children that are always ready do not hold the thread.
#[tokio::test(start_paused = true)]
async fn children_share_the_budget_of_the_task() {
    let stop = Arc::new(AtomicBool::new(false));
    let stops = stop.clone();
    let (send, mut receive) = mpsc::unbounded_channel();
    for n in 0..10_000 {
        send.send(n).unwrap();
    }
    let other_task = tokio::spawn(async move { stops.store(true, Ordering::SeqCst) });
    let group = group();
    let received = group
        .run(async {
            let reader = group.spawn(async {
                let mut received = 0;
                while receive.recv().await.is_some() {
                    received += 1;
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                }
                Ok(received)
            });
            reader.await
        })
        .await
        .unwrap();
    assert!(received < 10_000, "the other task had its turn in between");
    other_task.await.unwrap();
}

/// A group whose children are all idle wakes nobody.
#[tokio::test(start_paused = true)]
async fn an_idle_group_causes_no_wakes() {
    let (parent, waker) = CountWakes::new();
    let group = TaskGroup::builder().timeout(millis(1000)).build();
    for _ in 0..10 {
        group.spawn(never::<()>());
    }
    let mut join = pin!(group.join());
    let mut cx = std::task::Context::from_waker(&waker);
    for _ in 0..5 {
        assert!(join.as_mut().poll(&mut cx).is_pending());
    }
    assert_eq!(parent.count(), 0);
}

/// A child woken from its own destructor, or from a sibling's, is not polled again.
#[tokio::test(start_paused = true)]
async fn wakes_from_destructors_poll_nobody() {
    let polls = Arc::new(AtomicUsize::new(0));
    let kept: Arc<Mutex<Vec<Waker>>> = Arc::default();
    let group = group();
    for _ in 0..4 {
        let (wakes, keeps) = (kept.clone(), kept.clone());
        let wake_all = OnDrop(move || wakes.lock().unwrap().iter().for_each(Waker::wake_by_ref));
        group.spawn(counted(&polls, async move {
            let _wake_all = wake_all;
            poll_fn(|cx| {
                keeps.lock().unwrap().push(cx.waker().clone());
                Poll::<Result<(), Failed>>::Pending
            })
            .await
        }));
    }
    let mut join = Box::pin(group.join());
    assert!(poll_once(join.as_mut()).is_pending());
    group.cancel();
    assert_eq!(join.now_or_never(), Some(Ok(())));
    assert_eq!(polls.load(Ordering::SeqCst), 4);
}

/// A child that spawns two of its kind, up to a number that takes long to reach.
fn flood(
    spawner: Spawner<'static, Failed>,
    born: Arc<AtomicUsize>,
) -> BoxFuture<'static, Result<(), Failed>> {
    Box::pin(async move {
        if born.fetch_add(1, Ordering::SeqCst) < 50_000 {
            drop(spawner.spawn(flood(spawner.clone(), born.clone())));
            drop(spawner.spawn(flood(spawner.clone(), born)));
        }
        Ok(())
    })
}

#[tokio::test]
async fn new_children_that_keep_coming_do_not_hold_up_the_body() {
    let born = Arc::new(AtomicUsize::new(0));
    let group = TaskGroup::<Failed>::new();
    let outcome = group
        .run(async {
            drop(group.spawn(flood(group.spawner(), born.clone())));
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            group.cancel();
            Ok(())
        })
        .await;
    assert_eq!(outcome, Ok(()));
    // At most 128 polls a turn, and the body is asked in every turn.
    assert!(
        born.load(Ordering::SeqCst) <= 4 * 128,
        "{}",
        born.load(Ordering::SeqCst)
    );
}
