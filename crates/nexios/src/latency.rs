//! A bounded, lock-free histogram of durations.
//!
//! Buckets are log-linear, as in HDR histograms: every power of two of a microsecond is cut into eight
//! equal parts, so a reported percentile is at most 12.5 % above the recorded value. From 1 µs to about
//! 19 hours; longer durations count in the last bucket.

use std::time::Duration;

use crate::sync::atomic::{AtomicU64, Ordering};

/// Powers of two that are told apart, beyond the first eight microseconds. A model checker gets few, since each
/// look at a bucket is a step of its own.
const OCTAVES: usize = if cfg!(nexios_shuttle) { 0 } else { 33 };
/// Equal parts of one power of two.
const PARTS: usize = 8;
const BUCKETS: usize = (OCTAVES + 1) * PARTS;

/// Counts durations; recording is one relaxed add.
#[derive(Debug)]
pub(crate) struct LatencyHistogram {
    // Relaxed everywhere: statistics, nobody synchronises through them.
    buckets: Box<[AtomicU64]>,
}

impl LatencyHistogram {
    pub(crate) fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(crate) fn record(&self, duration: Duration) {
        self.buckets[bucket_of(duration)].fetch_add(1, Ordering::Relaxed);
    }

    /// How many durations are counted now.
    pub(crate) fn count(&self) -> u64 {
        self.buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .sum()
    }

    /// The upper edge of the bucket that holds the given share (0 to 1) of all durations, zero when empty.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return Duration::ZERO;
        }
        let rank = ((total as f64 * share).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        for (index, count) in counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_edge(index);
            }
        }
        upper_edge(BUCKETS - 1)
    }

    /// As [`percentile`](Self::percentile), when the durations in `unfinished` are only lower bounds: work
    /// that was given up after so long.
    ///
    /// This is the Kaplan-Meier estimate, so adding an unfinished duration never lowers it. Where the
    /// unfinished ones hide the percentile it is the longest duration of either kind.
    pub(crate) fn percentile_with_unfinished(&self, unfinished: &Self, share: f64) -> Duration {
        let mut at_risk = self.count() + unfinished.count();
        let mut longer = 1.0;
        let mut longest = None;
        for (index, (ended, given_up)) in self.buckets.iter().zip(&unfinished.buckets).enumerate() {
            let (ended, given_up) = (
                ended.load(Ordering::Relaxed),
                given_up.load(Ordering::Relaxed),
            );
            if ended > 0 {
                // Records that came after the count must not make the share negative.
                longer *= 1.0 - ended as f64 / at_risk.max(ended) as f64;
                // The product of many shares is off by a few parts in 10^16.
                if 1.0 - longer + 1e-9 >= share {
                    return upper_edge(index);
                }
            }
            if ended + given_up > 0 {
                longest = Some(index);
            }
            at_risk = at_risk.saturating_sub(ended + given_up);
        }
        longest.map_or(Duration::ZERO, upper_edge)
    }

    /// Halves every count, so that older durations weigh less.
    pub(crate) fn decay(&self) {
        for bucket in &self.buckets {
            let count = bucket.load(Ordering::Relaxed);
            // A record between the load and the subtraction survives it.
            bucket.fetch_sub(count - count / 2, Ordering::Relaxed);
        }
    }
}

fn bucket_of(duration: Duration) -> usize {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if micros < PARTS as u64 {
        return micros as usize;
    }
    let octave = micros.ilog2() as usize - PARTS.ilog2() as usize;
    let part = (micros >> octave) as usize - PARTS;
    (PARTS + octave * PARTS + part).min(BUCKETS - 1)
}

fn upper_edge(index: usize) -> Duration {
    if index < PARTS {
        return Duration::from_micros(index as u64);
    }
    let octave = (index - PARTS) / PARTS;
    let part = (index - PARTS) % PARTS;
    Duration::from_micros((((PARTS + part + 1) as u64) << octave) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_at_most_an_eighth_above_the_value() {
        for micros in [
            0,
            1,
            7,
            8,
            9,
            15,
            16,
            100,
            999,
            1_000,
            123_456,
            86_400_000_000,
        ] {
            let histogram = LatencyHistogram::new();
            histogram.record(Duration::from_micros(micros));
            let reported = histogram.percentile(0.5).as_micros() as f64;
            assert!(
                reported >= micros as f64 || micros > 60_000_000_000,
                "{reported} for {micros}"
            );
            assert!(reported <= micros as f64 * 1.125, "{reported} for {micros}");
        }
    }

    #[test]
    fn percentiles_follow_the_rank() {
        let histogram = LatencyHistogram::new();
        for micros in 1..=7 {
            histogram.record(Duration::from_micros(micros));
        }
        assert_eq!(histogram.percentile(0.0), Duration::from_micros(1));
        assert_eq!(histogram.percentile(0.5), Duration::from_micros(4));
        assert_eq!(histogram.percentile(1.0), Duration::from_micros(7));
        assert_eq!(histogram.count(), 7);
    }

    #[test]
    fn without_unfinished_durations_both_percentiles_agree() {
        let (histogram, none) = (LatencyHistogram::new(), LatencyHistogram::new());
        assert_eq!(
            histogram.percentile_with_unfinished(&none, 0.5),
            Duration::ZERO
        );
        for micros in (0..1_000).map(|n| n * n % 7_919) {
            histogram.record(Duration::from_micros(micros));
        }
        for share in [0.0, 0.1, 0.25, 0.5, 0.9, 0.95, 0.999, 1.0] {
            assert_eq!(
                histogram.percentile_with_unfinished(&none, share),
                histogram.percentile(share)
            );
        }
    }

    #[test]
    fn decay_halves_and_an_empty_histogram_says_zero() {
        let histogram = LatencyHistogram::new();
        assert_eq!(histogram.percentile(0.95), Duration::ZERO);
        for _ in 0..9 {
            histogram.record(Duration::from_millis(1));
        }
        histogram.decay();
        assert_eq!(histogram.count(), 4);
    }
}
