//! The thread pool. Nothing here sleeps: closures stand at gates, and the tests look until a state
//! is reached. No test counts on a paused clock moving by itself, so all pass with and without `test-util`.

// clippy allows it in tests, but not in what tests call.
#![allow(clippy::unwrap_used)]

mod admission;
mod busy;
mod chains;
mod context;
mod costs;
mod ending;
mod leaving;
mod nesting;
mod outcome;
mod overload;
mod process;
mod shutdown;
mod stress;
#[cfg(feature = "test-util")]
mod test_clock;

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use nexios::{Overload, PoolError, ThreadPool};

fn pool(threads: usize, places: usize, overload: Overload) -> ThreadPool {
    ThreadPool::builder()
        .name("test")
        .threads(threads)
        .queue(places)
        .overload(overload)
        .build()
}

/// Closures stand at it until it is opened, also by being dropped.
#[derive(Default)]
struct Gate {
    state: Arc<(Mutex<(bool, usize)>, Condvar)>,
}

impl Gate {
    /// A closure that stands at the gate.
    fn guard(&self) -> impl FnOnce() + Send + use<> {
        let state = self.state.clone();
        move || {
            let (lock, changed) = &*state;
            let mut gate = lock.lock().unwrap();
            gate.1 += 1;
            while !gate.0 {
                gate = changed.wait(gate).unwrap();
            }
        }
    }

    fn open(&self) {
        self.state.0.lock().unwrap().0 = true;
        self.state.1.notify_all();
    }

    /// How many closures have come to the gate.
    fn arrived(&self) -> usize {
        self.state.0.lock().unwrap().1
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

/// Waits for a state that other threads bring about. It keeps the runtime busy, so a paused clock stands.
async fn until(mut reached: impl FnMut() -> bool) {
    while !reached() {
        thread::yield_now();
        tokio::task::yield_now().await;
    }
}

/// Waits for a future while the runtime is kept busy, so that a paused clock stands.
async fn awake<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return output;
        }
        thread::yield_now();
        tokio::task::yield_now().await;
    }
}

/// Waits for a future while the paused clock goes on, a millisecond at a time.
async fn ticking<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return output;
        }
        tokio::time::advance(std::time::Duration::from_millis(1)).await;
    }
}

/// Polls once.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Fills all threads of a pool with closures at the gate.
async fn occupy(
    pool: &ThreadPool,
    gate: &Gate,
) -> Vec<tokio::task::JoinHandle<Result<(), PoolError>>> {
    let threads = pool.stats().threads;
    let before = gate.arrived();
    let running = (0..threads)
        .map(|_| {
            let (pool, guard) = (pool.clone(), gate.guard());
            tokio::spawn(async move { pool.run(guard).await })
        })
        .collect();
    until(|| gate.arrived() == before + threads).await;
    running
}

/// Drives a future with nothing but this thread, and may be nested.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// Counts when it is dropped.
#[derive(Clone, Default)]
struct Drops(Arc<AtomicUsize>);

impl Drops {
    fn token(&self) -> Dropped {
        Dropped(self.0.clone())
    }
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
