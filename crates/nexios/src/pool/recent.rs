use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::latency::LatencyHistogram;

/// Durations after which older ones count half.
const UNTIL_DECAY: u64 = 16_384;

/// Percentiles of durations, recent ones counting more; recording takes no lock.
pub(super) struct RecentDurations {
    histogram: LatencyHistogram,
    /// How many were recorded, ever.
    recorded: AtomicU64,
}

impl RecentDurations {
    pub(super) fn new() -> Self {
        Self {
            histogram: LatencyHistogram::new(),
            recorded: AtomicU64::new(0),
        }
    }

    pub(super) fn record(&self, duration: Duration) {
        self.histogram.record(duration);
        // Relaxed: statistics, nobody synchronises through them.
        if self.recorded.fetch_add(1, Ordering::Relaxed) % UNTIL_DECAY == UNTIL_DECAY - 1 {
            self.histogram.decay();
        }
    }

    /// As [`LatencyHistogram::percentile`].
    pub(super) fn percentile(&self, share: f64) -> Duration {
        self.histogram.percentile(share)
    }
}
