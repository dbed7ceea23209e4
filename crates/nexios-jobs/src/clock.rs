//! Moments as databases keep them: whole milliseconds since 1970 in UTC.

use std::time::{Duration, SystemTime};

/// The latest moment that is kept, in the year 9999: later ones, such as `SystemTime`'s latest, are this.
const LATEST: i64 = 253_402_300_799_999;

pub(crate) fn to_millis(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => millis(after),
        Err(before) => -millis(before.duration()),
    }
}

pub(crate) fn from_millis(millis: i64) -> SystemTime {
    let distance = Duration::from_millis(millis.unsigned_abs());
    let moment = if millis < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    moment.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A duration in milliseconds, rounded up: what is to happen after it does not happen before.
pub(crate) fn millis(duration: Duration) -> i64 {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    i64::try_from(millis).map_or(LATEST, |millis| millis.min(LATEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_survive_the_way_to_the_database_and_back() {
        let now = from_millis(1_700_000_000_123);
        assert_eq!(to_millis(now), 1_700_000_000_123);
        assert_eq!(
            from_millis(-5),
            SystemTime::UNIX_EPOCH - Duration::from_millis(5)
        );
        assert_eq!(millis(Duration::from_micros(1)), 1);
        assert_eq!(millis(Duration::MAX), LATEST);
    }
}
