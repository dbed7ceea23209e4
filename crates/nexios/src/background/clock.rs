//! tokio's clock, or one that stands still in a build with `--cfg nexios_shuttle`: a limit of zero has passed
//! there, and any other never does.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

/// Stands for "no limit": as far away as tokio's own clock looks.
const FAR_AWAY: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// `instant` plus `duration`, or a moment that never comes.
pub(super) fn later(instant: Instant, duration: Duration) -> Instant {
    instant.checked_add(duration.min(FAR_AWAY)).unwrap_or(instant)
}

#[cfg(not(nexios_shuttle))]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Panics where there is no clock to wait for.
#[cfg(not(nexios_shuttle))]
pub(super) fn require() {
    drop(tokio::time::sleep(Duration::ZERO));
}

/// Waits for `change`, but not longer than until `limit`.
#[cfg(not(nexios_shuttle))]
pub(super) async fn wait_until(limit: Instant, change: impl Future<Output = ()>) {
    let _ = crate::punctual::punctual(tokio::time::timeout_at(limit, change)).await;
}

#[cfg(nexios_shuttle)]
pub(super) fn now() -> Instant {
    static NOW: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    *NOW
}

#[cfg(nexios_shuttle)]
pub(super) fn require() {}

#[cfg(nexios_shuttle)]
pub(super) async fn wait_until(_: Instant, change: impl Future<Output = ()>) {
    change.await;
}
