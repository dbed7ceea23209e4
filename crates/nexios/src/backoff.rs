//! How long to pause after a failure: twice as long with each one in a row, and never all at once.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

/// An exponential backoff with "equal jitter" (from the AWS Architecture Blog, *Exponential Backoff And Jitter*, 2015).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// After the first failure.
    pub(crate) first: Duration,
    /// After any.
    pub(crate) max: Duration,
}

impl Backoff {
    /// The pause after so many failures in a row, drawn from the upper half of the whole: never longer than said.
    pub(crate) fn pause(self, failures: u32) -> Duration {
        let doublings = 2_u32.saturating_pow(failures.saturating_sub(1));
        let whole = self.first.saturating_mul(doublings).min(self.max);
        whole - (whole / 2).mul_f64(random_share())
    }
}

/// A random number from 0 to just below 1; the standard library's hash keys are random enough to spread load.
pub(crate) fn random_share() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}
