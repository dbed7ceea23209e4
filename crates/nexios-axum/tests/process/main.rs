//! Whole processes, with real signals and exit codes: the binary starts itself as the service under test, so it
//! cannot share one with the other tests.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program"
)]

mod child;
mod service;
mod tests;

use std::{
    panic::catch_unwind,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

fn main() -> ExitCode {
    match std::env::var(child::SCENARIO) {
        Ok(scenario) => service::main(&scenario),
        Err(_) => run_tests(),
    }
}

/// What cargo's own harness does, as far as it is needed here.
#[derive(Default)]
struct Arguments {
    filters: Vec<String>,
    skipped: Vec<String>,
    exact: bool,
    list: bool,
}

impl Arguments {
    /// The error is the argument that is not understood.
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut read = Arguments::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => read.list = true,
                "--exact" => read.exact = true,
                // An empty one would skip everything.
                "--skip" => match arguments.next() {
                    Some(name) if !name.is_empty() => read.skipped.push(name),
                    _ => return Err(argument),
                },
                // How the tests are run and shown is the same for all.
                "--nocapture" | "--no-capture" | "--show-output" | "--quiet" | "-q" => {}
                "--test-threads" => drop(arguments.next().ok_or(argument)?),
                threads if threads.starts_with("--test-threads=") => {}
                unknown if unknown.starts_with('-') => return Err(argument),
                _ => read.filters.push(argument),
            }
        }
        Ok(read)
    }

    fn choose(&self, name: &str) -> bool {
        let fits = |filter: &String| {
            if self.exact {
                name == filter
            } else {
                name.contains(filter)
            }
        };
        let chosen = self.filters.is_empty() || self.filters.iter().any(fits);
        chosen && !self.skipped.iter().any(fits)
    }
}

fn run_tests() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(argument) => {
            eprintln!("{argument} is not understood, or has no value");
            return ExitCode::from(2);
        }
    };
    let tests: Vec<_> = tests::ALL
        .iter()
        .filter(|(name, _)| arguments.choose(name))
        .collect();
    if arguments.list {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if tests.is_empty() && arguments.filters.is_empty() {
        eprintln!("there are no tests to run");
        return ExitCode::FAILURE;
    }
    println!("running {} tests", tests.len());
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    // They mostly wait.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((name, test)) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let good = catch_unwind(test).is_ok();
                    println!("test {name} ... {}", if good { "ok" } else { "FAILED" });
                    if !good {
                        failed.lock().unwrap().push(*name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!(
        "\ntest result: {} passed; {} failed {failed:?}",
        tests.len() - failed.len(),
        failed.len()
    );
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
