use std::{borrow::Cow, panic::Location, time::Duration};

use super::attempt::MOST_ATTEMPTS;

/// When the next attempt starts while the ones before it are still running.
///
/// Whatever the delay, when all running attempts have failed the next one starts at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Delay {
    /// All attempts start at once.
    Zero,
    /// So long after the start of the one before.
    Fixed(Duration),
    /// As long as this share (0 to 1) of all answers took, by observation.
    ///
    /// There is no hedge before there are [`warm_up`](HedgeBuilder::warm_up) answers. What is observed are
    /// the times of single attempts; those that fail, lose or are left by their caller count as "at least so
    /// slow" and never lower it. The value is at most 12.5 % too high, never less than a microsecond, and
    /// follows the last 1,000 to 2,000 attempts.
    Percentile(f64),
    /// Only a failure starts the next attempt: never two at a time.
    OnFailureOnly,
}

/// The settings of a [`Hedge`](crate::Hedge).
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct HedgeBuilder {
    pub(super) name: Option<Cow<'static, str>>,
    pub(super) made_at: &'static Location<'static>,
    pub(super) max_attempts: usize,
    pub(super) delay: Delay,
    pub(super) budget: Option<f64>,
    pub(super) warm_up: u64,
}

impl Default for HedgeBuilder {
    #[track_caller]
    fn default() -> Self {
        let made_at = Location::caller();
        Self {
            name: None,
            made_at,
            max_attempts: 2,
            delay: Delay::Percentile(0.95),
            budget: None,
            warm_up: 20,
        }
    }
}

impl HedgeBuilder {
    /// Names the hedge for whoever observes it: see [`observe`](crate::observe). Default: the place where it was made.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Limits the attempts of one call, the first included. Default: 2; at least 1, at most 10.
    pub fn max_attempts(mut self, attempts: usize) -> Self {
        self.max_attempts = attempts.clamp(1, MOST_ATTEMPTS);
        self
    }

    /// Sets when the next attempt starts. Default: [`Delay::Percentile`] of 0.95.
    ///
    /// # Panics
    ///
    /// When a percentile is not between 0 and 1.
    #[track_caller]
    pub fn delay(mut self, delay: Delay) -> Self {
        if let Delay::Percentile(share) = delay {
            assert!(
                (0.0..=1.0).contains(&share),
                "the percentile of a hedge is between 0 and 1, not {share}"
            );
        }
        self.delay = delay;
        self
    }

    /// Limits hedges to this share (0 to 1) of all calls. Default: no limit.
    ///
    /// It is a token bucket: each call puts `share` of a token in, each hedge takes one out when it starts.
    /// It holds 10 tokens at first and 100 at most. An empty bucket only keeps new hedges from starting;
    /// attempts that replace failed ones need no token.
    ///
    /// # Panics
    ///
    /// When `share` is not between 0 and 1.
    #[track_caller]
    pub fn budget(mut self, share: f64) -> Self {
        assert!(
            (0.0..=1.0).contains(&share),
            "the budget of a hedge is between 0 and 1, not {share}"
        );
        self.budget = Some(share);
        self
    }

    /// Sets after how many answers a [`Delay::Percentile`] starts hedging. Default: 20.
    pub fn warm_up(mut self, answers: u64) -> Self {
        self.warm_up = answers;
        self
    }
}
