//! Races on real threads, a thousand rounds each, every one under a watchdog.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use nexios::{CancelReason, Interrupted, Spawner, Task, TaskGroup};
use tokio::runtime::Runtime;

use super::probes::{Failed, count, soon, watched};

const ROUNDS: usize = 1_000;

/// A small repeatable source of chance, so that a red round can be found again.
struct Chance(u64);

impl Chance {
    fn of(round: usize) -> Self {
        Self((round as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn spin(&mut self, bound: usize) {
        for _ in 0..self.below(bound) {
            std::hint::spin_loop();
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// Two threads are enough for every race here, and the machine may have no more.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Futures that were made and futures that are gone.
#[derive(Default)]
struct Census {
    made: AtomicUsize,
    gone: AtomicUsize,
    /// Polls that began after the group had said that it was over.
    late_polls: AtomicUsize,
    over: AtomicBool,
}

struct Counted(Arc<Census>);

impl Counted {
    fn new(census: &Arc<Census>) -> Self {
        census.made.fetch_add(1, Ordering::SeqCst);
        Self(census.clone())
    }

    fn polled(&self) {
        if self.0.over.load(Ordering::SeqCst) {
            self.0.late_polls.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.gone.fetch_add(1, Ordering::SeqCst);
    }
}

impl Census {
    fn check(&self, round: usize) {
        assert_eq!(
            count(&self.made),
            count(&self.gone),
            "round {round}: made and gone"
        );
        assert_eq!(
            count(&self.late_polls),
            0,
            "round {round}: polled after the end"
        );
    }
}

/// Wakes itself `polls` times.
fn busy(
    census: &Arc<Census>,
    polls: usize,
) -> impl Future<Output = Result<usize, Failed>> + Send + use<> {
    let (counted, mut left) = (Counted::new(census), polls);
    poll_fn(move |cx| {
        counted.polled();
        if left == 0 {
            return Poll::Ready(Ok(polls));
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// RS-002: when `drop` returns no in-task child is left, though another thread was driving.
#[test]
fn a_group_dropped_while_a_handle_drives_on_another_thread_leaves_nobody() {
    watched(|| {
        for round in 0..ROUNDS {
            let mut chance = Chance::of(round);
            let census = Arc::new(Census::default());
            let group = TaskGroup::<Failed>::new();
            let polls = chance.below(40);
            let task = group.spawn(busy(&census, polls));
            for _ in 0..3 {
                group.spawn(busy(&census, chance.below(40)));
            }
            let driver = thread::spawn(move || block_on(task));
            chance.spin(20_000);
            drop(group);
            census.over.store(true, Ordering::SeqCst);
            census.check(round);
            match driver.join().unwrap() {
                Ok(value) => assert_eq!(value, polls),
                Err(error) => assert_eq!(
                    error,
                    Failed::Interrupted(Interrupted::Cancelled(CancelReason::OwnerDropped)),
                    "round {round}"
                ),
            }
            census.check(round);
        }
    });
}

/// RS-002: the same for a `run` that is dropped while a handle elsewhere drives.
#[test]
fn a_run_dropped_while_a_handle_drives_on_another_thread_leaves_nobody() {
    watched(|| {
        for round in 0..ROUNDS {
            let mut chance = Chance::of(round);
            let census = Arc::new(Census::default());
            let group = TaskGroup::<Failed>::new();
            let task = group.spawn(busy(&census, chance.below(40)));
            let driver = thread::spawn(move || block_on(task).is_ok());
            {
                let mut join = pin!(group.join());
                for _ in 0..chance.below(4) {
                    if join
                        .as_mut()
                        .poll(&mut Context::from_waker(Waker::noop()))
                        .is_ready()
                    {
                        break;
                    }
                    chance.spin(2_000);
                }
            }
            // A run that was never polled changes nothing; then the group's own drop ends it.
            drop(group);
            census.over.store(true, Ordering::SeqCst);
            census.check(round);
            driver.join().unwrap();
        }
    });
}

/// Whoever drives may go away at any poll: the others get their results.
#[test]
fn an_awaiter_that_goes_away_at_any_moment_strands_nobody() {
    watched(|| {
        let runtime = runtime();
        for round in 0..ROUNDS {
            let mut chance = Chance::of(round);
            let census = Arc::new(Census::default());
            let group = TaskGroup::<Failed>::new();
            let gates: Vec<_> = (0..4)
                .map(|_| tokio::sync::oneshot::channel::<usize>())
                .collect();
            let (senders, receivers): (Vec<_>, Vec<_>) = gates.into_iter().unzip();
            let tasks: Vec<_> = receivers
                .into_iter()
                .map(|gate| {
                    let counted = Counted::new(&census);
                    group.spawn(async move {
                        let _counted = counted;
                        gate.await.map_err(|_| Failed::With("no sender"))
                    })
                })
                .collect();
            let patience: Vec<_> = (0..3).map(|_| chance.below(6)).collect();
            runtime.block_on(soon(async {
                let mut waiters = Vec::new();
                for (at, task) in tasks.into_iter().enumerate() {
                    let polls = patience.get(at).copied();
                    waiters.push(tokio::spawn(impatient(task, polls)));
                }
                for (at, sender) in senders.into_iter().enumerate() {
                    if chance.below(2) == 0 {
                        tokio::task::yield_now().await;
                    }
                    let _ = sender.send(at);
                }
                for (at, waiter) in waiters.into_iter().enumerate() {
                    let outcome = waiter.await.unwrap();
                    assert!(
                        outcome.as_ref().is_none_or(|outcome| *outcome == Ok(at)),
                        "round {round}, waiter {at}"
                    );
                    assert!(
                        at < 3 || outcome == Some(Ok(3)),
                        "round {round}: the last one never gives up"
                    );
                }
                assert_eq!(group.join().await, Ok(()));
            }));
            census.check(round);
        }
    });
}

/// Waits for so many polls, then goes away; for ever without a number.
async fn impatient(
    mut task: Task<'static, usize, Failed>,
    polls: Option<usize>,
) -> Option<Result<usize, Failed>> {
    let mut left = polls;
    poll_fn(move |cx| {
        if let Some(left) = &mut left {
            if *left == 0 {
                return Poll::Ready(None);
            }
            *left -= 1;
            cx.waker().wake_by_ref();
        }
        pin!(&mut task).poll(cx).map(Some)
    })
    .await
}

/// Spawns children of both kinds until it is refused.
async fn producer(spawner: Spawner<'static, Failed>, census: Arc<Census>) -> Result<usize, Failed> {
    loop {
        let (inner, polls) = (busy(&census, 2), busy(&census, 3));
        let refused =
            spawner.spawn(inner).is_finished() & spawner.spawn_parallel(polls).is_finished();
        if refused && spawner.token().is_cancelled() {
            return Ok(0);
        }
        tokio::task::yield_now().await;
    }
}

/// TG-108, TG-146: a spawn that races with the end is refused or ended, never lost; `run` returns after all are gone.
#[test]
fn spawns_from_parallel_children_that_race_with_a_cancel_are_never_lost() {
    watched(|| {
        let runtime = runtime();
        for round in 0..ROUNDS {
            let mut chance = Chance::of(round);
            let census = Arc::new(Census::default());
            let group = TaskGroup::<Failed>::new();
            let outcome = runtime.block_on(soon(group.run(async {
                for _ in 0..2 {
                    group.spawn_parallel(producer(group.spawner(), census.clone()));
                }
                for _ in 0..chance.below(4) {
                    tokio::task::yield_now().await;
                }
                chance.spin(5_000);
                if round % 2 == 0 {
                    group.cancel();
                    Ok(())
                } else {
                    Err(Failed::With("body"))
                }
            })));
            census.over.store(true, Ordering::SeqCst);
            assert_eq!(
                outcome,
                if round % 2 == 0 {
                    Ok(())
                } else {
                    Err(Failed::With("body"))
                }
            );
            assert_eq!(group.len(), 0);
            census.check(round);
        }
    });
}

/// TG-108: cancelled from another thread at any moment.
#[test]
fn a_cancel_from_another_thread_at_any_moment_ends_the_group() {
    watched(|| {
        for round in 0..ROUNDS {
            let mut chance = Chance::of(round);
            let census = Arc::new(Census::default());
            let group = TaskGroup::<Failed>::new();
            let spawner = group.spawner();
            let spin = chance.below(5_000);
            let canceller = thread::spawn(move || {
                for _ in 0..spin {
                    std::hint::spin_loop();
                }
                spawner.cancel();
            });
            let outcome = block_on(group.run(async {
                loop {
                    let task = group.spawn(busy(&census, chance.below(3)));
                    if task.await.is_err() {
                        return Ok("told");
                    }
                }
            }));
            census.over.store(true, Ordering::SeqCst);
            assert_eq!(outcome, Ok("told"));
            census.check(round);
            canceller.join().unwrap();
        }
    });
}

/// TG-137: one child cancelled from another thread, while it may be polled: gone once, and the others are not touched.
#[test]
fn a_child_cancelled_from_another_thread_at_any_moment_is_gone_once() {
    watched(|| {
        for round in 0..ROUNDS {
            let mut chance = Chance::of(round);
            let census = Arc::new(Census::default());
            let group = TaskGroup::<Failed>::new();
            let task = group.spawn(busy(&census, chance.below(40)));
            let sibling = group.spawn(busy(&census, 20));
            let spin = chance.below(5_000);
            let canceller = thread::spawn(move || {
                for _ in 0..spin {
                    std::hint::spin_loop();
                }
                task.cancel();
                block_on(task)
            });
            assert_eq!(block_on(group.join()), Ok(()));
            assert_eq!(block_on(sibling), Ok(20), "round {round}");
            let outcome = canceller.join().unwrap();
            let requested = Failed::Interrupted(Interrupted::Cancelled(CancelReason::Requested));
            assert!(
                outcome.is_ok() || outcome == Err(requested),
                "round {round}: {outcome:?}"
            );
            census.check(round);
        }
    });
}

/// Wakes from other threads while children are polled, finished and replaced: no wake is lost.
#[test]
fn no_wake_is_lost_in_a_storm() {
    watched(|| {
        const CHILDREN: usize = 8;
        const STEPS: usize = 5;
        for round in 0..ROUNDS {
            let steps: Arc<Vec<AtomicUsize>> =
                Arc::new((0..CHILDREN).map(|_| AtomicUsize::new(0)).collect());
            let wakers: Arc<Vec<Mutex<Option<Waker>>>> =
                Arc::new((0..CHILDREN).map(|_| Mutex::new(None)).collect());
            let group = TaskGroup::<Failed>::new();
            for child in 0..CHILDREN {
                let (steps, wakers) = (steps.clone(), wakers.clone());
                group.spawn(poll_fn(move |cx| {
                    *wakers[child].lock().unwrap() = Some(cx.waker().clone());
                    // Looked at after the waker is in place, as every leaf future does it.
                    if count(&steps[child]) == STEPS {
                        Poll::Ready(Ok(()))
                    } else {
                        Poll::Pending
                    }
                }));
            }
            let storms: Vec<_> = (0..2)
                .map(|half| {
                    let (steps, wakers) = (steps.clone(), wakers.clone());
                    thread::spawn(move || {
                        let mut chance = Chance::of(round * 2 + half);
                        for _ in 0..STEPS {
                            for child in (half..CHILDREN).step_by(2) {
                                steps[child].fetch_add(1, Ordering::SeqCst);
                                let waker = wakers[child].lock().unwrap().clone();
                                if let Some(waker) = waker {
                                    waker.wake_by_ref();
                                    waker.wake();
                                }
                                chance.spin(50);
                            }
                        }
                    })
                })
                .collect();
            assert_eq!(block_on(group.join()), Ok(()), "round {round}");
            for storm in storms {
                storm.join().unwrap();
            }
        }
    });
}
