//! The budget of extra attempts: a token bucket without a clock.
//!
//! Every call puts a share of a token in, every hedge takes a whole one out, so in the long run at most that
//! share of the calls is hedged. It is gRPC's retry throttle (proposal A6) without its failure count.
//!
//! # Invariants
//!
//! 1. There are never more than [`MOST`] tokens and never less than none.
//! 2. A token is taken whole or not at all.

use crate::sync::atomic::{AtomicU64, Ordering};

/// One token in the units of the bucket; a share is rounded to a billionth.
const TOKEN: u64 = 1_000_000_000;
/// So many hedges may start in a burst after a quiet time.
const MOST: u64 = 100 * TOKEN;
/// A fresh policy is not powerless.
const AT_START: u64 = 10 * TOKEN;

#[derive(Debug)]
pub(super) struct Budget {
    /// What one call puts in.
    share: u64,
    /// What is in the bucket.
    tokens: AtomicU64,
}

impl Budget {
    /// `share` is between 0 and 1.
    pub(super) fn new(share: f64) -> Self {
        Self {
            share: (share * TOKEN as f64).round() as u64,
            tokens: AtomicU64::new(AT_START),
        }
    }

    pub(super) fn feed(&self) {
        // Relaxed: the count is all there is, nothing else is published through it.
        let _full = self
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
                (tokens < MOST).then(|| (tokens + self.share).min(MOST))
            });
    }

    /// Takes a token if there is one.
    pub(super) fn take(&self) -> bool {
        // Relaxed: as above.
        self.tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
                tokens.checked_sub(TOKEN)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(budget: &Budget) -> usize {
        std::iter::repeat_with(|| budget.take())
            .take_while(|taken| *taken)
            .count()
    }

    /// HG-015: the arithmetic is exact, ten tokens at the start, a hundred at most.
    #[test]
    fn a_bucket_starts_with_ten_keeps_a_hundred_and_gains_the_share() {
        let budget = Budget::new(0.1);
        assert_eq!(drain(&budget), 10);
        for _ in 0..9 {
            budget.feed();
        }
        assert!(!budget.take());
        budget.feed();
        assert_eq!(drain(&budget), 1);
        for _ in 0..5_000 {
            budget.feed();
        }
        assert_eq!(drain(&budget), 100);
    }

    #[test]
    fn tokens_are_not_lost_or_doubled_under_contention() {
        let budget = Budget::new(1.0);
        drain(&budget);
        let taken: usize = std::thread::scope(|scope| {
            let work = || {
                (0..1_000)
                    .filter(|_| {
                        budget.feed();
                        budget.take()
                    })
                    .count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(taken, 4_000);
        assert!(!budget.take());
    }
}
