//! Programs at random, and what is told of them: every piece of work is made once and ended once, in the right order,
//! whatever happens to it. A binary of its own: whoever observes hears of all work in the process.
//!
//! The seed stands in the message of a test that fails; the same seed makes the same program.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod execution;
mod program;
mod recorder;
mod rules;

use std::{
    collections::BTreeSet,
    ops::Range,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use nexios::observe;
use tokio::{
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};

use crate::{
    execution::{World, left_after},
    program::{Author, Random, Shared},
    recorder::{Meddler, Recorder, Told, Trick},
    rules::{Heard, broken},
};

/// One program at a time in the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn paused() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

fn author(seed: u64, pool: bool) -> Author {
    Author {
        random: Random::new(seed),
        pool,
    }
}

/// How many programs a test looks at: `NEXIOS_PROGRAMS=50` makes it that many times as many.
fn seeds(count: u64) -> Range<u64> {
    let times = std::env::var("NEXIOS_PROGRAMS").ok();
    0..count * times.map_or(1, |times| times.parse().unwrap())
}

/// Runs a program until it ends, or is left after `patience`, and then what outlives it.
async fn run(program: &Shared, world: &Arc<World>, patience: Duration) -> String {
    // A task of its own: what a panic unwinds through is the program's. One that is left is dropped in its last poll,
    // where a panic of what it drops is caught.
    let limited = timeout(patience, world.run(program));
    let whole = async move {
        match limited.await {
            Ok(result) => format!("{result:?}"),
            Err(_) => "left".to_owned(),
        }
    };
    let ended = tokio::spawn(AssertUnwindSafe(whole).catch_unwind()).await;
    let result = ended.unwrap().unwrap_or_else(|_| "panicked".to_owned());
    world.end().await;
    result
}

async fn quiet(recorder: &Recorder) {
    for _ in 0..2_000 {
        if recorder.living() == 0 {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

#[track_caller]
fn all_is_well(told: &[Told], heard: Heard, what: &str) {
    let broken = broken(told, heard);
    let lines: Vec<_> = told.iter().map(|told| format!("{told:?}")).collect();
    assert!(
        broken.is_empty(),
        "{broken:#?}\n{}\n{what}",
        lines.join("\n")
    );
}

/// All rules hold, nothing is current, and who comes now hears nothing.
#[track_caller]
fn nothing_is_left(recorder: &Recorder, what: &str) {
    all_is_well(&recorder.told(), Heard::All, what);
    assert_eq!(observe::current(), None, "{what}");
    let (later, observing) = Recorder::begin();
    drop(observing);
    assert!(later.told().is_empty(), "{what}");
}

struct Seen {
    result: String,
    journal: Vec<String>,
    told: Vec<Told>,
}

impl Seen {
    /// What can be seen of a program without an observer.
    fn outside(&self) -> (&str, &[String]) {
        (&self.result, &self.journal)
    }
}

fn on_one_thread(seed: u64, meddler: Option<&Arc<Meddler>>, observed: bool) -> Seen {
    let mut author = author(seed, false);
    let program = author.program(3);
    let what = format!("seed {seed}: {program:#?}");
    let recorder = observed.then(Recorder::begin);
    let mut told = Vec::new();
    let meddling = meddler.map(|meddler| observe::observe(meddler.clone()));
    let (result, journal) = paused().block_on(async {
        let world = World::new(&mut author);
        let result = run(&program, &world, Duration::from_millis(40)).await;
        let journal = world.journal();
        drop(world);
        if let Some((recorder, _)) = &recorder {
            quiet(recorder).await;
        }
        (result, journal)
    });
    drop(meddling);
    if let Some((recorder, observing)) = recorder {
        nothing_is_left(&recorder, &what);
        told = recorder.told();
        drop(observing);
    }
    Seen {
        result,
        journal,
        told,
    }
}

/// What was told, without numbers and names.
fn words(told: &[Told]) -> impl Iterator<Item = String> {
    told.iter().map(|told| match told {
        Told::Made { kind, .. } => kind.as_str().to_owned(),
        Told::Started(_) => "started".to_owned(),
        Told::Updated(_, update) => format!("{update:?}"),
        Told::Ended(_, outcome) => outcome.clone(),
    })
}

#[test]
fn whatever_a_program_does_its_work_is_made_once_and_ended_once() {
    let _alone = alone();
    let mut heard = BTreeSet::new();
    for seed in seeds(2_000) {
        heard.extend(words(&on_one_thread(seed, None, true).told));
    }
    // The programs do all that there is to do.
    for word in [
        "request",
        "background",
        "group",
        "child",
        "parallel_child",
        "daemon",
        "item",
        "finalizer",
        "race",
        "candidate",
        "hedge",
        "attempt",
        "computation",
        "custom",
        "Cancelling",
        "Waiting",
        "Resumed",
        "Adopted",
        "Completed",
        "Failed(None)",
        "Panicked(\"on purpose\")",
        "Cancelled(Requested)",
        "Cancelled(SiblingFailed)",
        "Cancelled(OwnerDropped)",
        "Cancelled(Deadline)",
        "Cancelled(Shutdown)",
        "Cancelled(Finished)",
        "TimedOut",
        "Won",
        "Lost",
        "Refused",
    ] {
        assert!(heard.contains(word), "{word}: {heard:?}");
    }
}

#[test]
fn a_program_runs_the_same_whether_anybody_looks_or_not() {
    let _alone = alone();
    for seed in seeds(300) {
        let unseen = on_one_thread(seed, None, false);
        let seen = on_one_thread(seed, None, true);
        assert_eq!(seen.outside(), unseen.outside(), "seed {seed}");
    }
}

#[test]
fn an_observer_that_panics_or_meddles_is_noticed_by_nobody() {
    const TRICKS: [Trick; 5] = [
        Trick::Panics,
        Trick::LetsAnotherIn,
        Trick::SendsAnotherAway,
        Trick::MakesWork,
        Trick::LooksAround,
    ];
    let _alone = alone();
    let mut done = BTreeSet::new();
    for seed in seeds(300) {
        let unseen = on_one_thread(seed, None, false);
        let mut random = Random::new(seed);
        for trick in TRICKS {
            let meddler = Meddler::new(trick, random.below(40));
            if trick == Trick::SendsAnotherAway {
                let observing = observe::observe(meddler.heard.clone());
                *meddler.other.lock().unwrap() = Some(observing);
            }
            let seen = on_one_thread(seed, Some(&meddler), true);
            assert_eq!(seen.outside(), unseen.outside(), "seed {seed}, {trick:?}");
            if meddler.has_meddled() {
                done.insert(trick);
            }
            let other = meddler.other.lock().unwrap().take();
            // One call for each thing that was told, up to the one where it did something.
            let until_then = seen.told.len().min(meddler.at() + 1);
            let what = format!("seed {seed}, {trick:?} at call {}", meddler.at());
            let heard = meddler.heard.told();
            match trick {
                Trick::Panics => assert_eq!(meddler.calls(), until_then, "{what}"),
                Trick::LetsAnotherIn => all_is_well(&heard, Heard::FromSomewhereOn, &what),
                // It is told before the one who sends it away, and of nothing afterwards.
                Trick::SendsAnotherAway => assert_eq!(heard, seen.told[..until_then], "{what}"),
                Trick::MakesWork | Trick::LooksAround => {}
            }
            drop(other);
        }
    }
    assert!(done.iter().eq(TRICKS.iter()), "{done:?}");
}

#[test]
fn what_a_runtime_takes_with_it_has_ended() {
    let _alone = alone();
    for seed in seeds(500) {
        let mut author = author(seed, false);
        let program = author.program(3);
        let polls = author.random.below(12);
        let what = format!("seed {seed}, {polls} polls: {program:#?}");
        let (recorder, observing) = Recorder::begin();
        let runtime = paused();
        let left = runtime.block_on(async {
            let world = World::new(&mut author);
            let running = AssertUnwindSafe(left_after(polls, world.run(&program)));
            let _ = running.catch_unwind().await;
            world
        });
        drop(runtime);
        drop(left);
        nothing_is_left(&recorder, &what);
        drop(observing);
    }
}

#[test]
fn on_several_threads_and_with_a_pool_it_is_the_same() {
    let _alone = alone();
    let mut heard = BTreeSet::new();
    for seed in seeds(200) {
        let mut author = author(seed, true);
        let program = author.program(3);
        let what = format!("seed {seed}: {program:#?}");
        let (recorder, observing) = Recorder::begin();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let world = World::new(&mut author);
            run(&program, &world, Duration::from_millis(20)).await;
            drop(world);
            quiet(&recorder).await;
        });
        drop(runtime);
        nothing_is_left(&recorder, &what);
        heard.extend(words(&recorder.told()));
        drop(observing);
    }
    // What there is only with a pool, and what another thread does.
    for word in ["pool_job", "parallel_child", "computation", "Completed"] {
        assert!(heard.contains(word), "{word}: {heard:?}");
    }
}
