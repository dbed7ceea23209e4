//! Lazy values: sharing, generations, limits, failures, recursion, runtimes.

// The lint's own exception for tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

mod busy;
mod chains;
mod costs;
mod error_hook;
mod failures;
mod generations;
mod histories;
mod limits;
mod log;
mod map;
mod recursion;
mod runtimes;
mod sharing;
mod shortcuts;
mod stress;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use nexios::{AsyncLazy, AsyncLazyBuilder};
use tokio::sync::Semaphore;

#[derive(Debug, PartialEq)]
struct Broken(usize);

/// Computations under the test's control: each takes the next number, waits for a pass and returns its number.
struct Source {
    started: AtomicUsize,
    completed: AtomicUsize,
    /// Computations that exist as futures.
    alive: AtomicUsize,
    passes: Semaphore,
}

impl Source {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            started: AtomicUsize::new(0),
            completed: AtomicUsize::new(0),
            alive: AtomicUsize::new(0),
            passes: Semaphore::new(0),
        })
    }

    /// A source whose computations need no pass.
    fn open() -> Arc<Self> {
        let source = Self::new();
        source.passes.add_permits(Semaphore::MAX_PERMITS);
        source
    }

    async fn compute(self: Arc<Self>) -> usize {
        let number = self.started.fetch_add(1, Ordering::SeqCst) + 1;
        let _alive = Alive::new(&self);
        self.passes.acquire().await.unwrap().forget();
        self.completed.fetch_add(1, Ordering::SeqCst);
        number
    }

    fn builder(self: &Arc<Self>) -> AsyncLazyBuilder<usize, Broken> {
        let source = Arc::clone(self);
        AsyncLazy::builder(move || {
            let computation = Arc::clone(&source).compute();
            async move { Ok(computation.await) }
        })
    }

    /// A cell whose computations fail with their number while `failing` says so.
    fn fallible(self: &Arc<Self>, failing: &Arc<AtomicUsize>) -> AsyncLazyBuilder<usize, Broken> {
        let (source, failing) = (Arc::clone(self), Arc::clone(failing));
        AsyncLazy::builder(move || {
            let (computation, failing) = (Arc::clone(&source).compute(), Arc::clone(&failing));
            async move {
                let number = computation.await;
                if failing.load(Ordering::SeqCst) > 0 {
                    Err(Broken(number))
                } else {
                    Ok(number)
                }
            }
        })
    }

    fn cell(self: &Arc<Self>) -> Arc<AsyncLazy<usize, Broken>> {
        Arc::new(self.builder().build())
    }

    fn let_through(&self, computations: usize) {
        self.passes.add_permits(computations);
    }

    fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    fn completed(&self) -> usize {
        self.completed.load(Ordering::SeqCst)
    }

    fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }
}

struct Alive(Arc<Source>);

impl Alive {
    fn new(source: &Arc<Source>) -> Self {
        source.alive.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(source))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Lets every task that can run do so.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn pass_time(seconds: f64) {
    settle().await;
    tokio::time::advance(Duration::from_secs_f64(seconds)).await;
    settle().await;
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
