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
    ThreadPool::builder().threads(1).queue(1).overload(overload).build()
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
        let results: Vec<_> = callers.into_iter().map(|caller| caller.join().expect("no panic")).collect();
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
            None => thread::spawn(move || block_on(run)).join().expect("no panic"),
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
            assert!(result == Ok(caller) || result == Err(PoolError::Closed), "{result:?}");
        }
    });
}
