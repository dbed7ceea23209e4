//! The jobs that are measured, and the workers that run them.

use std::time::{Duration, SystemTime};

use nexios::Drain;
use nexios_jobs::{Jobs, Kind, Policy, Workers};

pub(crate) const NOTHING: Kind<u64> = Kind::new("nothing");
/// Returns when it was started, in microseconds.
pub(crate) const STAMP: Kind<(), u64> = Kind::new("stamp");

pub(crate) fn micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

pub(crate) async fn start(jobs: &Jobs) -> anyhow::Result<Workers> {
    let nothing = |_, _| async { Ok::<_, String>(()) };
    let stamp = |(), _| async { Ok::<_, String>(micros()) };
    let workers = jobs
        .workers()
        .handle(NOTHING, Policy::new().concurrency(8), nothing)
        .handle(STAMP, Policy::new(), stamp);
    Ok(workers.start().await?)
}

pub(crate) async fn stop(workers: &Workers) {
    let now = Drain {
        wait: Duration::ZERO,
        cancel: Duration::ZERO,
    };
    workers.drain(now).await;
}
