use std::time::Duration;

use tokio::time::Instant;

/// Stands for "no limit": as far away as tokio's own clock looks.
const FAR_AWAY: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// `instant` plus `duration`, or a moment that never comes.
pub(super) fn later(instant: Instant, duration: Duration) -> Instant {
    instant.checked_add(duration.min(FAR_AWAY)).unwrap_or(instant)
}
