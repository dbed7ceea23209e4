//! The frame around `main`: a runtime, an exit code, and an end that nothing can hold up.

use std::{
    fmt,
    future::Future,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::ExitCode,
    time::{Duration, Instant},
};

use super::{
    report::{ABANDONED, ShutdownReport},
    watchdog,
};
use crate::log::log;

/// How long the threads of the runtime may take to end after the service has.
const LAST_THREADS: Duration = Duration::from_secs(1);

/// What they have at least, when the limit of the shutdown is used up.
const LEAST: Duration = Duration::from_millis(100);

/// Runs a service on a multi-threaded runtime, and turns its end into the exit code of the process.
///
/// | code | when |
/// |---|---|
/// | 0 | the service ended and gave up no work |
/// | 1 | the future returned an error, such as a failed startup hook; it is written to standard error |
/// | 70 | work was given up: named in the report and the log |
///
/// A plain `#[tokio::main]` waits for every `spawn_blocking` closure, without a limit; this waits for what is
/// left of the shutdown limit, at most 1 s, and then says 70. A runtime whose threads are all held by blocking code
/// cannot even hear a signal: a thread of its own ends the process with 70 half a second after the limit.
///
/// # Examples
///
/// ```no_run
/// use std::process::ExitCode;
/// use axum::Router;
/// use nexios_axum::{NexiosApp, run};
///
/// fn main() -> ExitCode {
///     run(async { NexiosApp::new(Router::new()).serve("127.0.0.1:8080").await })
/// }
/// ```
///
/// # Panics
///
/// Panics inside a tokio runtime, and with the panic of the future.
pub fn run<E: fmt::Display>(service: impl Future<Output = Result<ShutdownReport, E>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    watchdog::arm();
    let end = catch_unwind(AssertUnwindSafe(|| runtime.block_on(service)));
    match end {
        // Dropped while unwinding, the runtime would wait for its threads without a limit.
        Err(panic) => {
            runtime.shutdown_timeout(LAST_THREADS);
            resume_unwind(panic)
        }
        Ok(Err(error)) => {
            runtime.shutdown_timeout(LAST_THREADS);
            failed(&error)
        }
        Ok(Ok(report)) => {
            let patience = report
                .end
                .saturating_duration_since(Instant::now())
                .clamp(LEAST, LAST_THREADS);
            let asked = Instant::now();
            runtime.shutdown_timeout(patience);
            if asked.elapsed() < patience {
                return report.exit_code();
            }
            log(|| {
                tracing::error!(
                    "threads of the runtime are held by blocking code and were given up"
                );
            });
            ExitCode::from(ABANDONED)
        }
    }
}

fn failed(error: &dyn fmt::Display) -> ExitCode {
    // Not by `tracing` alone: the start may have failed before there was a log.
    let _ = writeln!(io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}
