//! How much longer a task takes.

use std::time::Duration;

/// If it goes on as it has done since its start.
pub(super) fn eta((done, total): (u64, u64), elapsed: Duration) -> Option<Duration> {
    if done == 0 {
        return None;
    }
    let left = total.saturating_sub(done) as f64 / done as f64;
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * left).ok()
}
