//! Closures on threads: calls into a pool of two threads, against everything people use for that.

use std::{
    future::Future,
    hint::black_box,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use benches::{Contest, Side};
use futures_util::future::join_all;
use nexios::ThreadPool;
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::spawn_blocking,
};

type Named = (String, Box<dyn FnOnce() -> Contest>);

/// Threads of our pool and of rayon's; the other two start as many as they like.
const THREADS: usize = 2;
const CALLERS: [usize; 4] = [1, 8, 64, 512];
const CLOSURES: [(&str, Duration); 3] = [
    ("empty", Duration::ZERO),
    ("10us", Duration::from_micros(10)),
    ("1ms", Duration::from_millis(1)),
];

/// What a closure does: so many steps, not so much time, or more threads than cores would do more of it.
fn compute(steps: u64) -> u64 {
    let mut value = black_box(1_u64);
    for step in 0..steps {
        value = (value ^ step)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(31);
    }
    black_box(value)
}

/// How many steps take so long on this machine, when nobody else computes.
fn steps_of(time: Duration) -> u64 {
    const SAMPLE: u64 = 100_000;
    static NANOS: OnceLock<f64> = OnceLock::new();
    let nanos = NANOS.get_or_init(|| {
        let samples = (0..50).map(|_| {
            let begun = Instant::now();
            compute(SAMPLE);
            begun.elapsed()
        });
        samples.min().unwrap_or_default().as_nanos() as f64 / SAMPLE as f64
    });
    (time.as_nanos() as f64 / nanos) as u64
}

/// Who runs the closures.
#[derive(Clone)]
enum Runner {
    Nexios(ThreadPool),
    SpawnBlocking,
    Rayon(Arc<rayon::ThreadPool>),
    Blocking,
}

impl Runner {
    fn all() -> Vec<Self> {
        let rayon = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build();
        vec![
            Self::Nexios(ThreadPool::builder().threads(THREADS).build()),
            Self::SpawnBlocking,
            Self::Rayon(Arc::new(
                rayon.expect("threads can be started on a machine that runs benches"),
            )),
            Self::Blocking,
        ]
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Nexios(_) => "nexios",
            Self::SpawnBlocking => "spawn_blocking",
            Self::Rayon(_) => "rayon + oneshot",
            Self::Blocking => "blocking",
        }
    }

    /// One call.
    async fn call(&self, steps: u64) -> u64 {
        match self {
            Self::Nexios(pool) => pool.run(move || compute(steps)).await.unwrap_or_default(),
            Self::SpawnBlocking => spawn_blocking(move || compute(steps))
                .await
                .unwrap_or_default(),
            Self::Rayon(pool) => {
                let (sender, receiver) = oneshot::channel();
                pool.spawn(move || {
                    let _ = sender.send(compute(steps));
                });
                receiver.await.unwrap_or_default()
            }
            Self::Blocking => blocking::unblock(move || compute(steps)).await,
        }
    }
}

fn runtime() -> Arc<Runtime> {
    let built = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    Arc::new(built.expect("a runtime can be built on a machine that runs benches"))
}

/// Does the work of `callers` tasks that all make `calls` calls, one after the other.
fn closed_loop(runtime: &Runtime, runner: &Runner, callers: usize, calls: u32, steps: u64) {
    spawn_callers(runtime, runner, callers, move |runner| async move {
        for _ in 0..calls {
            black_box(runner.call(steps).await);
        }
    });
}

fn spawn_callers<T, Fut>(
    runtime: &Runtime,
    runner: &Runner,
    callers: usize,
    caller: impl Fn(Runner) -> Fut,
) -> Vec<T>
where
    T: Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..callers)
        .map(|_| runtime.spawn(caller(runner.clone())))
        .collect();
    let ended = runtime.block_on(runtime.spawn(join_all(tasks)));
    let ended = ended.expect("a bench has no panic of its own");
    ended
        .into_iter()
        .map(|ended| ended.expect("a bench has no panic of its own"))
        .collect()
}

/// Does `bursts` times the work of one task that makes `callers` calls at once.
fn bursts(runtime: &Runtime, runner: &Runner, callers: usize, bursts: u32, steps: u64) {
    let runner = runner.clone();
    let task = runtime.spawn(async move {
        for _ in 0..bursts {
            black_box(join_all((0..callers).map(|_| runner.call(steps))).await);
        }
    });
    runtime
        .block_on(task)
        .expect("a bench has no panic of its own");
}

pub(crate) fn contests() -> Vec<Named> {
    let mut contests: Vec<Named> = Vec::new();
    for (closure, time) in CLOSURES {
        for callers in CALLERS {
            for burst in [false, true] {
                if burst && callers == 1 {
                    continue;
                }
                let name = format!(
                    "pool/{}/{closure}/{callers}",
                    if burst { "burst" } else { "callers" }
                );
                let title = name.clone();
                contests.push((name, Box::new(move || contest(title, callers, time, burst))));
            }
        }
    }
    contests
}

/// A turn does every caller's work once at least, so long work has few turns.
fn rounds(callers: usize, time: Duration) -> usize {
    let turn = time * u32::try_from(callers).unwrap_or(u32::MAX) / 2;
    (Duration::from_secs(2).as_nanos() / turn.as_nanos().max(1)).clamp(7, 301) as usize
}

fn contest(name: String, callers: usize, time: Duration, burst: bool) -> Contest {
    let (runtime, steps) = (runtime(), steps_of(time));
    let mut contest = Contest::new(name, callers as u64)
        .rounds(rounds(callers, time))
        .without_allocations();
    for runner in Runner::all() {
        let (who, runtime, ours) = (
            runner.name(),
            runtime.clone(),
            matches!(runner, Runner::Nexios(_)),
        );
        let side = Side::new(who, move |repeats| {
            if burst {
                bursts(&runtime, &runner, callers, repeats, steps);
            } else {
                closed_loop(&runtime, &runner, callers, repeats, steps);
            }
        });
        contest = contest.side(match ours {
            true => side.goal("spawn_blocking", goal(callers, time)),
            false => side,
        });
    }
    contest
}

/// At most so much of the time of `spawn_blocking`.
fn goal(callers: usize, time: Duration) -> f64 {
    if time.is_zero() && callers == 64 {
        0.25
    } else {
        1.0
    }
}

/// Prints how long one call takes from its first poll to its result, for the callers in closed loops.
#[allow(
    clippy::print_stdout,
    reason = "printing the table is what a bench is for"
)]
pub(crate) fn print_round_trips(filter: &str) {
    let mut lines = Vec::new();
    for (closure, time) in CLOSURES {
        for callers in CALLERS {
            let name = format!("pool/round_trip/{closure}/{callers}");
            if name.contains(filter) {
                lines.push(round_trips(&name, callers, time));
            }
        }
    }
    if !lines.is_empty() {
        println!("\n| work | who: median and 99th percentile of a round trip |\n| --- | --- |");
        println!("{}", lines.join("\n"));
    }
}

fn round_trips(name: &str, callers: usize, time: Duration) -> String {
    const TURN: Duration = Duration::from_millis(2);
    let (runtime, steps) = (runtime(), steps_of(time));
    let runners = Runner::all();
    let mut trips = vec![Vec::new(); runners.len()];
    for round in 0..rounds(callers, time).min(200) + 1 {
        for turn in 0..runners.len() {
            let index = (round + turn) % runners.len();
            let taken = spawn_callers(
                &runtime,
                &runners[index],
                callers,
                move |runner| async move {
                    let begun = Instant::now();
                    let mut taken = Vec::new();
                    while taken.is_empty() || begun.elapsed() < TURN {
                        let called = Instant::now();
                        black_box(runner.call(steps).await);
                        taken.push(called.elapsed());
                    }
                    taken
                },
            );
            // The first round warms up.
            if round > 0 {
                trips[index].extend(taken.into_iter().flatten());
            }
        }
    }
    let cells: Vec<_> = runners
        .iter()
        .zip(&mut trips)
        .map(|(runner, trips)| {
            trips.sort_unstable();
            format!(
                "{}: {:?}, {:?}",
                runner.name(),
                at(trips, 50),
                at(trips, 99)
            )
        })
        .collect();
    format!("| {name} | {} |", cells.join("; "))
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted
        .get(sorted.len() * percent / 100)
        .copied()
        .unwrap_or_default()
}
