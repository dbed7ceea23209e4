//! Callers that come at a rate, whatever becomes of the ones before, and give up after a while.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nexios::{Overload, ThreadPool};
use tokio::{
    runtime::{Builder, Runtime},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, timeout},
};

pub(crate) const THREADS: usize = 4;
/// How long a job keeps its thread. It sleeps: so the callers, who need the cores, do not slow it down.
pub(crate) const JOB: Duration = Duration::from_millis(5);
/// When a caller gives up.
pub(crate) const PATIENCE: Duration = Duration::from_millis(100);
/// The limit of `ShedAfter`.
const LIMIT: Duration = Duration::from_millis(50);
const PLACES: usize = 256;

#[derive(Clone, Copy)]
pub(crate) enum Runner {
    ShedAfter,
    Wait,
    SpawnBlocking,
}

impl Runner {
    pub(crate) const ALL: [Self; 3] = [Self::ShedAfter, Self::Wait, Self::SpawnBlocking];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ShedAfter => "ShedAfter(50 ms)",
            Self::Wait => "Wait",
            Self::SpawnBlocking => "spawn_blocking",
        }
    }

    fn pool(self) -> Option<ThreadPool> {
        let overload = match self {
            Self::ShedAfter => Overload::ShedAfter(LIMIT),
            Self::Wait => Overload::Wait,
            Self::SpawnBlocking => return None,
        };
        Some(
            ThreadPool::builder()
                .threads(THREADS)
                .queue(PLACES)
                .overload(overload)
                .build(),
        )
    }
}

fn job() {
    thread::sleep(JOB);
}

/// How many jobs a second the threads do when they do nothing else.
pub(crate) fn capacity() -> f64 {
    const JOBS: usize = 100;
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..JOBS).for_each(|_| job()));
        }
    });
    (THREADS * JOBS) as f64 / begun.elapsed().as_secs_f64()
}

pub(crate) struct Experiment {
    pub(crate) runner: Runner,
    /// Callers a second.
    pub(crate) rate: f64,
    pub(crate) lasts: Duration,
}

/// When, from the beginning, callers had their results in time.
pub(crate) struct Outcome(Vec<Duration>);

impl Outcome {
    /// Results a second that reached their callers between two times.
    pub(crate) fn goodput(&self, from: Duration, to: Duration) -> f64 {
        let good = self.0.iter().filter(|at| (from..to).contains(at)).count();
        good as f64 / (to - from).as_secs_f64()
    }
}

/// As many threads for everybody; `spawn_blocking` would start up to 512, which for work that computes is not
/// more work done.
fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let built = builder
        .worker_threads(1)
        .max_blocking_threads(THREADS)
        .enable_all()
        .build();
    built.expect("a runtime can be built on a machine that runs benches")
}

impl Experiment {
    pub(crate) fn run(self) -> Outcome {
        let runtime = runtime();
        let pool = self.runner.pool();
        let good = Arc::new(Mutex::new(Vec::new()));
        runtime.block_on(async {
            let begun = Instant::now();
            let mut ticks = interval(Duration::from_millis(1));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut come = 0;
            while begun.elapsed() < self.lasts {
                ticks.tick().await;
                let due = (begun.elapsed().as_secs_f64() * self.rate) as u64;
                for _ in come..due {
                    let (pool, good) = (pool.clone(), good.clone());
                    tokio::spawn(async move {
                        let served = timeout(PATIENCE, async {
                            match &pool {
                                Some(pool) => pool.run(job).await.is_ok(),
                                None => spawn_blocking(job).await.is_ok(),
                            }
                        });
                        if served.await == Ok(true) {
                            good.lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .push(begun.elapsed());
                        }
                    });
                }
                come = due;
            }
        });
        // What is still queued is nobody's any more.
        runtime.shutdown_background();
        let good = good.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Outcome(good)
    }
}
