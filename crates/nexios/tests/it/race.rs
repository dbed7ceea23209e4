//! Races: first success, staggering, failover, limits.

mod busy;
mod decisions;
mod endings;
mod model;
mod schedule;
mod wakes;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use nexios::{Candidate, Failure, RaceError};
use tokio::time::{Instant, sleep};

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Code that is always ready in a cooperative way, such as a loop over a full channel.
pub(crate) async fn busy(time: Duration) {
    let began = std::time::Instant::now();
    while began.elapsed() < time {
        tokio::task::consume_budget().await;
    }
}

/// Runs a scenario on the real clock in `block_on` of a current-thread runtime, in a task of one, and in a task of a
/// runtime with two threads.
pub(crate) fn everywhere<F: Future<Output = ()> + Send + 'static>(scenario: fn() -> F) {
    let current = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("it can be built")
    };
    current().block_on(scenario());
    let runtime = current();
    runtime
        .block_on(runtime.spawn(scenario()))
        .expect("no panic");
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let runtime = threads
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("it can be built");
    runtime
        .block_on(runtime.spawn(scenario()))
        .expect("no panic");
}

/// Fails if `work` with eight times as many things costs much more than eight times as much.
///
/// A cost that grows with the square would be 64 times as high. What has more to do also misses more caches, and on a
/// loaded machine most runs are interrupted: the shortest of a few is compared, with a wide berth on both sides.
pub(crate) async fn linear(what: &str, few: usize, work: impl AsyncFn(usize) -> Duration) {
    let mut shortest = (Duration::MAX, Duration::MAX);
    for _ in 0..10 {
        shortest.0 = shortest.0.min(work(few).await);
        shortest.1 = shortest.1.min(work(8 * few).await);
        if shortest.1 < shortest.0 * 40 {
            return;
        }
    }
    panic!(
        "{what}: {few} take {:?}, eight times as many {:?}",
        shortest.0, shortest.1
    );
}

/// Marsaglia's xorshift64: small, seeded, the same everywhere.
pub(crate) struct Xorshift(pub(crate) u64);

impl Xorshift {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Records what happened when, in milliseconds from its making.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    from: Instant,
    lines: Arc<Mutex<Vec<String>>>,
    /// Candidates that were polled and not dropped yet.
    live: Arc<AtomicUsize>,
}

/// Writes a line when the future that holds it is dropped, and keeps it counted as live until then.
pub(crate) struct Presence {
    log: Log,
    name: &'static str,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            from: Instant::now(),
            lines: Arc::default(),
            live: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> u128 {
        self.from.elapsed().as_millis()
    }

    pub(crate) fn line(&self, line: impl AsRef<str>) {
        self.lines
            .lock()
            .expect("nobody panics while logging")
            .push(format!("{} {}", self.now(), line.as_ref()));
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .expect("nobody panics while logging")
            .clone()
    }

    pub(crate) fn starts(&self) -> Vec<String> {
        self.lines()
            .into_iter()
            .filter_map(|line| line.strip_suffix(" starts").map(str::to_owned))
            .collect()
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    pub(crate) fn enter(&self, name: &'static str) -> Presence {
        self.live.fetch_add(1, Ordering::SeqCst);
        self.line(format!("{name} starts"));
        Presence {
            log: self.clone(),
            name,
        }
    }

    /// A future that logs its start and drop and returns `outcome` after `millis`.
    pub(crate) fn work<T, E>(
        &self,
        name: &'static str,
        millis: u64,
        outcome: Result<T, E>,
    ) -> impl Future<Output = Result<T, E>> + use<T, E> {
        let log = self.clone();
        async move {
            let _presence = log.enter(name);
            sleep(ms(millis)).await;
            outcome
        }
    }

    pub(crate) fn ok(
        &self,
        name: &'static str,
        millis: u64,
    ) -> Candidate<'static, &'static str, &'static str> {
        Candidate::new(name, self.work(name, millis, Ok(name)))
    }

    pub(crate) fn err(
        &self,
        name: &'static str,
        millis: u64,
    ) -> Candidate<'static, &'static str, &'static str> {
        Candidate::new(name, self.work(name, millis, Err(name)))
    }

    pub(crate) fn never(
        &self,
        name: &'static str,
    ) -> Candidate<'static, &'static str, &'static str> {
        self.ok(name, u64::MAX / 1_000_000)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.log.live.fetch_sub(1, Ordering::SeqCst);
        self.log.line(format!("{} dropped", self.name));
    }
}

/// Polls a future once, with the waker of the test's task.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// The failures of an error in short: `name=kind`.
pub(crate) fn kinds<E>(error: &RaceError<E>) -> Vec<String> {
    let kind = |failure: &Failure<E>| match failure {
        Failure::Failed(_) => "failed",
        Failure::TimedOut => "timed out",
        Failure::Refused => "refused",
        Failure::Cancelled => "cancelled",
        Failure::NotStarted => "not started",
        _ => "other",
    };
    error
        .failures()
        .iter()
        .map(|(name, failure)| format!("{name}={}", kind(failure)))
        .collect()
}
