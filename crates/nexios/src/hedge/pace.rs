//! How long the operation usually takes: a percentile of observed attempts.
//!
//! Attempts that did not answer (dropped losers, failures, callers who left) are censored samples: all that
//! is known is that an answer would have taken at least so long. Leaving them out would make the slow ones
//! invisible and the percentile too low (survivorship bias); counting them as answers would do the same. The
//! Kaplan-Meier estimate uses exactly what is known.
//!
//! # Invariants
//!
//! 1. A sample that is not an answer never lowers the percentile.
//! 2. The count of answers for the warm-up never goes back, whatever decays.
//! 3. One thread at a time decays and updates, and one that finds it at work leaves: nobody waits. A decay that is
//!    missed so is made up for at the next update, so the weights stay bounded.

use std::time::Duration;

use crate::{
    latency::LatencyHistogram,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// After so many samples the older ones lose half of their weight.
const DECAY_EVERY: u64 = if cfg!(nexios_shuttle) { 2 } else { 1_000 };
/// Below so many samples each one updates the percentile, above it every 32nd does.
const FEW: u64 = 256;
const UPDATE_EVERY: u64 = 32;

// Relaxed everywhere but in `updating`: statistics, nobody synchronises through them.
#[derive(Debug)]
pub(super) struct Pace {
    /// The share of answers that are at least so quick.
    share: f64,
    /// So many answers are needed before there is a delay.
    warm_up: u64,
    /// Times of attempts that answered.
    answered: LatencyHistogram,
    /// Times after which the other attempts were given up.
    unfinished: LatencyHistogram,
    /// All answers ever.
    answers: AtomicU64,
    /// All samples ever.
    samples: AtomicU64,
    /// `samples` as of the last decay; written under `updating`.
    decayed: AtomicU64,
    /// The percentile in microseconds, as of the last update.
    current: AtomicU64,
    /// Held by the one thread that decays and updates.
    updating: AtomicBool,
}

impl Pace {
    pub(super) fn new(share: f64, warm_up: u64) -> Self {
        Self {
            share,
            warm_up,
            answered: LatencyHistogram::new(),
            unfinished: LatencyHistogram::new(),
            answers: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            decayed: AtomicU64::new(0),
            current: AtomicU64::new(0),
            updating: AtomicBool::new(false),
        }
    }

    /// The percentile, once there were enough answers; never zero.
    pub(super) fn delay(&self) -> Option<Duration> {
        let answers = self.answers.load(Ordering::Relaxed);
        // Answers that took less than the histogram can tell (those from a cache, say) must not start every
        // attempt of a call at once: the first is to have had its chance.
        (answers > 0 && answers >= self.warm_up)
            .then(|| Duration::from_micros(self.current.load(Ordering::Relaxed).max(1)))
    }

    /// Counts an attempt that answered after `took`.
    pub(super) fn answered(&self, took: Duration) {
        self.answered.record(took);
        self.sampled();
        // Last, so that the first delay after the warm-up takes this answer into account.
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an attempt that had not answered when it ended after `at_least`.
    pub(super) fn unfinished(&self, at_least: Duration) {
        self.unfinished.record(at_least);
        self.sampled();
    }

    fn sampled(&self) {
        let samples = self.samples.fetch_add(1, Ordering::Relaxed) + 1;
        if samples >= FEW
            && !samples.is_multiple_of(UPDATE_EVERY)
            && !samples.is_multiple_of(DECAY_EVERY)
        {
            return;
        }
        // Acquire and release: the holder sees the previous holder's subtractions, so that two decays never
        // subtract the same counts.
        if self.updating.swap(true, Ordering::Acquire) {
            return;
        }
        if samples.saturating_sub(self.decayed.load(Ordering::Relaxed)) >= DECAY_EVERY {
            self.decayed.store(samples, Ordering::Relaxed);
            self.answered.decay();
            self.unfinished.decay();
        }
        let percentile = self
            .answered
            .percentile_with_unfinished(&self.unfinished, self.share);
        let micros = u64::try_from(percentile.as_micros()).unwrap_or(u64::MAX);
        self.current.store(micros, Ordering::Relaxed);
        self.updating.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn near(delay: Option<Duration>, millis: u64) -> bool {
        delay.is_some_and(|delay| delay >= ms(millis) && delay <= ms(millis).mul_f64(1.125))
    }

    #[test]
    fn there_is_no_delay_before_the_warm_up() {
        let pace = Pace::new(0.95, 20);
        for _ in 0..19 {
            pace.answered(ms(10));
            pace.unfinished(ms(10));
        }
        assert_eq!(pace.delay(), None);
        pace.answered(ms(10));
        assert!(near(pace.delay(), 10));
    }

    #[test]
    fn samples_without_an_answer_never_lower_it() {
        let mut random = 88_172_645_463_325_252_u64;
        let mut next = |limit: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % limit
        };
        for share in [0.0, 0.5, 0.95, 1.0] {
            let pace = Pace::new(share, 0);
            for round in 0..200_u64 {
                if next(2) == 0 || round == 0 {
                    pace.answered(ms(next(500)));
                } else {
                    let before = pace.delay();
                    pace.unfinished(ms(next(500)));
                    assert!(
                        pace.delay() >= before,
                        "{share}: {:?} after {before:?}",
                        pace.delay()
                    );
                }
            }
        }
    }

    #[test]
    fn slow_attempts_that_were_given_up_raise_it() {
        let pace = Pace::new(0.9, 20);
        for _ in 0..80 {
            pace.answered(ms(10));
        }
        assert!(near(pace.delay(), 10));
        for _ in 0..20 {
            pace.unfinished(ms(100));
        }
        assert!(near(pace.delay(), 100), "{:?}", pace.delay());
    }

    #[test]
    fn old_samples_fade() {
        let pace = Pace::new(0.95, 20);
        for _ in 0..1_000 {
            pace.answered(ms(100));
        }
        for _ in 0..6_000 {
            pace.answered(ms(10));
        }
        assert!(near(pace.delay(), 10), "{:?}", pace.delay());
        assert!(pace.answered.count() <= 2 * DECAY_EVERY);
    }

    #[test]
    fn samples_fade_once_in_a_thousand() {
        let pace = Pace::new(0.95, 20);
        for _ in 0..2 * DECAY_EVERY - 1 {
            pace.answered(ms(10));
        }
        assert_eq!(pace.answered.count(), DECAY_EVERY / 2 + DECAY_EVERY - 1);
    }

    /// Whoever holds `updating` when a decay is due leaves it to the next update.
    #[test]
    fn a_decay_that_was_missed_is_made_up_for() {
        let pace = Pace::new(0.95, 20);
        for _ in 0..DECAY_EVERY - 1 {
            pace.answered(ms(10));
        }
        pace.updating.store(true, Ordering::Relaxed);
        pace.answered(ms(10));
        assert_eq!(pace.answered.count(), DECAY_EVERY);
        pace.updating.store(false, Ordering::Relaxed);
        for _ in 0..UPDATE_EVERY {
            pace.answered(ms(10));
        }
        assert!(
            pace.answered.count() < DECAY_EVERY,
            "{}",
            pace.answered.count()
        );
    }
}
