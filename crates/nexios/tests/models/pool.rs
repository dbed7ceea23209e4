//! Closures on the pool's threads.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use nexios::{Overload, PoolError, ThreadPool};
use shuttle::{future::block_on, thread};

use crate::check::{check, poll_once};

/// Counts the closures that were dropped, called or not.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn pool(overload: Overload) -> ThreadPool {
    ThreadPool::builder()
        .threads(1)
        .queue(1)
        .overload(overload)
        .build()
}

#[test]
fn a_closure_cancelled_as_it_starts_is_called_or_dropped() {
    check(|| {
        let pool = pool(Overload::Wait);
        let (called, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        {
            let (called, dropped) = (called.clone(), Dropped(dropped.clone()));
            let mut run = Box::pin(pool.run(move || {
                called.fetch_add(1, SeqCst);
                drop(dropped);
            }));
            let seen = block_on(poll_once(&mut run));
            assert!(seen.is_none_or(|seen| seen == Ok(())));
        }
        block_on(pool.close());
        assert_eq!(dropped.load(SeqCst), 1);
        let stats = pool.stats();
        assert_eq!((stats.running, stats.queued, stats.waiting), (0, 0, 0));
        assert_eq!(stats.completed + stats.cancelled, 1);
        assert!(called.load(SeqCst) <= 1);
    });
}

#[test]
fn every_caller_gets_its_result() {
    check(|| {
        let pool = pool(Overload::Wait);
        let callers: Vec<_> = (0..3)
            .map(|caller| {
                let pool = pool.clone();
                thread::spawn(move || block_on(pool.run(move || caller)))
            })
            .collect();
        let results: Vec<_> = callers
            .into_iter()
            .map(|caller| caller.join().expect("no panic"))
            .collect();
        assert_eq!(results, [Ok(0), Ok(1), Ok(2)]);
        assert_eq!(pool.stats().completed, 3);
    });
}

#[test]
fn a_caller_that_moves_to_another_thread_gets_its_result() {
    check(|| {
        let pool = pool(Overload::Wait);
        let mut run = Box::pin({
            let pool = pool.clone();
            async move { pool.run(|| 1).await }
        });
        let result = match block_on(poll_once(&mut run)) {
            Some(result) => result,
            None => thread::spawn(move || block_on(run))
                .join()
                .expect("no panic"),
        };
        assert_eq!(result, Ok(1));
    });
}

#[test]
fn a_closed_pool_answers_every_caller() {
    check(|| {
        let pool = pool(Overload::Wait);
        let callers: Vec<_> = (0..3)
            .map(|caller| {
                let pool = pool.clone();
                thread::spawn(move || block_on(pool.run(move || caller)))
            })
            .collect();
        block_on(pool.close());
        assert_eq!(pool.stats().running, 0);
        for (caller, result) in callers.into_iter().enumerate() {
            let result = result.join().expect("no panic");
            assert!(
                result == Ok(caller) || result == Err(PoolError::Closed),
                "{result:?}"
            );
        }
    });
}

/// What a model knows of the closures that it handed over.
#[derive(Clone, Default)]
struct Closures {
    called: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Closures {
    fn one(&self) -> impl FnOnce() + Send + use<> {
        let (called, dropped) = (self.called.clone(), Dropped(self.dropped.clone()));
        move || {
            called.fetch_add(1, SeqCst);
            drop(dropped);
        }
    }

    /// Each of `all` was called or dropped, once; and counted, once.
    #[track_caller]
    fn accounted_for(&self, all: usize, pool: &ThreadPool) {
        let stats = pool.stats();
        assert_eq!((stats.running, stats.queued, stats.waiting), (0, 0, 0));
        assert_eq!(
            self.dropped.load(SeqCst),
            all,
            "every closure was dropped once"
        );
        assert_eq!(
            stats.completed as usize,
            self.called.load(SeqCst),
            "what was called is completed"
        );
        assert_eq!(
            (stats.completed + stats.cancelled + stats.shed) as usize,
            all,
            "{stats:?}"
        );
    }
}

/// The queue: its only job is taken back while the thread comes for it.
#[test]
fn a_queued_closure_cancelled_as_a_thread_takes_it_is_called_or_dropped() {
    check(|| {
        let pool = pool(Overload::Wait);
        let closures = Closures::default();
        let first = pool
            .try_run(closures.one())
            .ok()
            .expect("an idle pool takes a job");
        let mut queued = pool.try_run(closures.one()).ok().expect("there is a place");
        assert!(block_on(poll_once(&mut queued)).is_none_or(|seen| seen == Ok(())));
        let leaving = thread::spawn(move || drop(queued));
        assert_eq!(block_on(first), Ok(()));
        leaving.join().expect("no panic");
        assert_eq!(
            block_on(pool.run(closures.one())),
            Ok(()),
            "the pool goes on"
        );
        block_on(pool.close());
        closures.accounted_for(3, &pool);
    });
}

/// Two hangs of this kind were shipped in tokio (tokio#8056, #8408).
#[test]
fn a_job_submitted_as_the_last_thread_goes_to_sleep_is_run() {
    check(|| {
        let pool = pool(Overload::Wait);
        for round in 0..3 {
            assert_eq!(block_on(pool.run(move || round)), Ok(round));
        }
    });
}

#[test]
fn two_threads_that_go_to_sleep_miss_no_job() {
    check(|| {
        let pool = ThreadPool::builder().threads(2).queue(1).build();
        let callers: Vec<_> = (0..2)
            .map(|caller| {
                let pool = pool.clone();
                thread::spawn(move || {
                    for round in 0..2 {
                        assert_eq!(
                            block_on(pool.run(move || caller + round)),
                            Ok(caller + round)
                        );
                    }
                })
            })
            .collect();
        callers
            .into_iter()
            .for_each(|caller| caller.join().expect("no panic"));
        assert_eq!(pool.stats().completed, 4);
    });
}

/// A thread runs several jobs and looks once more before it sleeps.
#[test]
fn a_job_submitted_as_a_busy_thread_looks_once_more_is_run() {
    check(|| {
        let pool = ThreadPool::builder().threads(1).queue(2).build();
        let burst: Vec<_> = (0..3)
            .map(|number| pool.try_run(move || number).ok().expect("there is a place"))
            .collect();
        let late = {
            let pool = pool.clone();
            thread::spawn(move || block_on(pool.run(|| 3)))
        };
        for (number, call) in burst.into_iter().enumerate() {
            assert_eq!(block_on(call), Ok(number));
        }
        assert_eq!(late.join().expect("no panic"), Ok(3));
    });
}

/// The thread that was woken for a job finds it gone, and the next job must not count on that wake.
#[test]
fn a_wake_for_a_cancelled_job_is_not_lost() {
    check(|| {
        let pool = pool(Overload::Wait);
        let closures = Closures::default();
        // The thread is there and on its way to sleep.
        assert_eq!(block_on(pool.run(closures.one())), Ok(()));
        let other = {
            let (pool, closure) = (pool.clone(), closures.one());
            thread::spawn(move || block_on(pool.run(closure)))
        };
        {
            let mut leaves = Box::pin(pool.run(closures.one()));
            assert!(block_on(poll_once(&mut leaves)).is_none_or(|seen| seen == Ok(())));
        }
        assert_eq!(other.join().expect("no panic"), Ok(()));
        block_on(pool.close());
        closures.accounted_for(3, &pool);
    });
}

/// Admission: the first in line leaves as it gets the place, and the next in line must have it.
#[test]
fn a_caller_that_leaves_as_it_is_admitted_hands_the_place_on() {
    check(|| {
        let pool = pool(Overload::Wait);
        let closures = Closures::default();
        let running = pool
            .try_run(closures.one())
            .ok()
            .expect("an idle pool takes a job");
        let queued = pool.try_run(closures.one()).ok().expect("there is a place");
        let mut leaves = Box::pin({
            let (pool, closure) = (pool.clone(), closures.one());
            async move { pool.run(closure).await }
        });
        assert!(block_on(poll_once(&mut leaves)).is_none_or(|seen| seen == Ok(())));
        let behind = {
            let (pool, closure) = (pool.clone(), closures.one());
            thread::spawn(move || block_on(pool.run(closure)))
        };
        let leaving = thread::spawn(move || drop(leaves));
        assert_eq!((block_on(running), block_on(queued)), (Ok(()), Ok(())));
        assert_eq!(behind.join().expect("no panic"), Ok(()));
        leaving.join().expect("no panic");
        block_on(pool.close());
        closures.accounted_for(4, &pool);
    });
}

/// A full pool that sheds: who comes as the thread becomes free is refused or served, and counted as that.
#[test]
fn a_caller_that_comes_as_a_place_becomes_free_is_served_or_refused() {
    check(|| {
        let pool = ThreadPool::builder()
            .threads(1)
            .queue(0)
            .overload(Overload::Shed)
            .build();
        let closures = Closures::default();
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (pool, closure) = (pool.clone(), closures.one());
                thread::spawn(move || block_on(pool.run(closure)))
            })
            .collect();
        let outcomes = callers
            .into_iter()
            .map(|caller| caller.join().expect("no panic"));
        let served = outcomes
            .filter(|outcome| *outcome != Err(PoolError::Saturated))
            .map(Result::unwrap);
        assert!(served.count() >= 1, "an idle pool serves");
        block_on(pool.close());
        closures.accounted_for(3, &pool);
    });
}

#[test]
fn a_caller_that_leaves_as_the_pool_closes_is_counted_once() {
    check(|| {
        let pool = pool(Overload::Wait);
        let closures = Closures::default();
        let mut calls: Vec<_> = (0..3)
            .map(|_| {
                let (pool, closure) = (pool.clone(), closures.one());
                Box::pin(async move { pool.run(closure).await })
            })
            .collect();
        for call in &mut calls {
            assert!(block_on(poll_once(call)).is_none_or(|seen| seen == Ok(())));
        }
        let leaving = thread::spawn(move || drop(calls));
        block_on(pool.close());
        leaving.join().expect("no panic");
        closures.accounted_for(3, &pool);
    });
}

/// Threads that sleep, or are about to, end with the last handle: a thread left behind is a deadlock here.
#[test]
fn the_last_handle_that_goes_as_a_thread_goes_to_sleep_ends_it() {
    check(|| {
        let pool = ThreadPool::builder().threads(2).queue(0).build();
        let accepted = pool.try_run(|| 1).ok().expect("an idle pool takes a job");
        let other = {
            let pool = pool.clone();
            thread::spawn(move || block_on(pool.run(|| 2)))
        };
        drop(pool);
        assert_eq!(block_on(accepted), Ok(1));
        assert_eq!(other.join().expect("no panic"), Ok(2));
    });
}

/// One thread: each job is run by the one that waits for it.
#[test]
fn jobs_that_wait_for_jobs_end() {
    check(|| {
        let pool = ThreadPool::builder()
            .threads(1)
            .queue(0)
            .overload(Overload::Shed)
            .build();
        let (second, third) = (pool.clone(), pool.clone());
        let nested = pool.run(move || {
            block_on(second.run(move || block_on(third.run(|| 1)).map(|value| value + 1)))
        });
        assert_eq!(block_on(nested), Ok(Ok(Ok(2))));
        assert_eq!(pool.stats().completed, 3);
    });
}

/// A job is waited for inside the pool just as the thread that could serve it is taken, or becomes free.
#[test]
fn a_nested_job_is_run_by_its_waiter_or_by_a_free_thread() {
    check(|| {
        let pool = pool(Overload::Wait);
        let gate = thread::spawn({
            let pool = pool.clone();
            move || {
                let inner = pool.clone();
                block_on(pool.run(move || block_on(inner.run(|| 1))))
            }
        });
        let outside = block_on(pool.run(|| 2));
        assert_eq!(outside, Ok(2));
        assert_eq!(gate.join().expect("no panic"), Ok(Ok(1)));
        assert_eq!(pool.stats().completed, 3);
    });
}

/// A job that was queued outside is waited for on another pool's thread, just as its own pool's thread becomes free.
#[test]
fn a_queued_job_is_taken_over_by_its_waiter_or_begun_by_a_thread() {
    check(|| {
        let (pool, other) = (pool(Overload::Wait), pool(Overload::Wait));
        let calls = Arc::new(AtomicUsize::new(0));
        let before = pool.try_run(|| ()).ok().expect("a thread is free");
        let counted = calls.clone();
        let queued = pool
            .try_run(move || counted.fetch_add(1, SeqCst))
            .ok()
            .expect("there is a place");
        let waiter = block_on(other.run(move || block_on(queued)));
        assert_eq!(waiter, Ok(Ok(0)));
        assert_eq!(block_on(before), Ok(()));
        assert_eq!((calls.load(SeqCst), pool.stats().completed), (1, 2));
    });
}
