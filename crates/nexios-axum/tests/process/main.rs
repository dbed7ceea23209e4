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

/// What cargo's own harness does, as far as it is needed here: filters by name, and `--list`.
fn run_tests() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let chosen =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(*filter));
    let tests: Vec<_> = tests::ALL.iter().filter(|(name, _)| chosen(name)).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
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
