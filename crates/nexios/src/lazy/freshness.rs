//! A value and how long it may be served.
//!
//! The limits are additive, as in HTTP (RFC 5861): fresh until `ttl`, served while it is computed anew until
//! `ttl + stale_while_revalidate`, served instead of an error until `ttl + stale_if_error`. An age equal to a
//! limit is past it.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::recursion::next_id;
use crate::backoff::random_share;

/// What an entry of a map counts for in its bound; `None` when it cannot be told, and then it is not kept.
pub(super) type Weight = Option<NonZeroU64>;

/// How long the values of a cell may be served.
#[derive(Clone, Copy, Debug)]
pub(super) struct ValueLimits {
    /// How long a value is fresh; `None` is for ever.
    pub(super) ttl: Option<Duration>,
    pub(super) stale_while_revalidate: Duration,
    pub(super) stale_if_error: Duration,
    /// The share of `ttl` by which it is shortened at most, 0 to 1.
    pub(super) jitter: f64,
}

impl ValueLimits {
    pub(super) const FOR_EVER: Self = Self {
        ttl: None,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        jitter: 0.0,
    };

    /// Makes the entry of a value that was complete at `completed`; `None` when it may never be served again.
    pub(super) fn admit<T>(
        &self,
        value: Arc<T>,
        weight: Weight,
        completed: Instant,
    ) -> Option<Arc<ValueEntry<T>>> {
        // A limit beyond what the clock can show is never reached.
        let [fresh_until, stale_until, fallback_until] =
            match self.ttl.map(|ttl| self.jittered(ttl)) {
                None => [None; 3],
                Some(ttl) => {
                    let stale = ttl.saturating_add(self.stale_while_revalidate);
                    let fallback = ttl.saturating_add(self.stale_if_error);
                    if stale.max(fallback).is_zero() {
                        return None;
                    }
                    [ttl, stale, fallback].map(|limit| completed.checked_add(limit))
                }
            };
        let edition = next_id();
        Some(Arc::new(ValueEntry {
            value,
            weight,
            edition,
            completed,
            fresh_until,
            stale_until,
            fallback_until,
        }))
    }

    /// Shortens `ttl`, never prolongs it: a limit that a user sets is a promise.
    fn jittered(&self, ttl: Duration) -> Duration {
        if self.jitter == 0.0 {
            return ttl;
        }
        ttl.saturating_sub(ttl.mul_f64(self.jitter * random_share()))
    }
}

/// A value with its limits; never changed once it is made.
#[derive(Debug)]
pub(super) struct ValueEntry<T> {
    pub(super) value: Arc<T>,
    pub(super) weight: Weight,
    /// Tells this entry from all others of the process.
    pub(super) edition: u64,
    /// When the computation was complete, or the value set.
    pub(super) completed: Instant,
    /// `None` here and below: never ends.
    pub(super) fresh_until: Option<Instant>,
    stale_until: Option<Instant>,
    fallback_until: Option<Instant>,
}

/// What an entry is good for at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Served as it is.
    Fresh,
    /// Served as it is, while a new value is computed.
    Stale,
    /// Served only when a computation fails.
    Fallback,
    /// Never served again.
    Expired,
}

impl<T> ValueEntry<T> {
    /// True while the value may be served as it is; reads the clock only if there is a limit.
    #[inline]
    pub(super) fn is_fresh(&self) -> bool {
        match self.fresh_until {
            None => true,
            Some(limit) => Instant::now() < limit,
        }
    }

    pub(super) fn freshness(&self, now: Instant) -> Freshness {
        let within = |limit: Option<Instant>| limit.is_none_or(|limit| now < limit);
        if within(self.fresh_until) {
            Freshness::Fresh
        } else if within(self.stale_until) {
            Freshness::Stale
        } else if within(self.fallback_until) {
            Freshness::Fallback
        } else {
            Freshness::Expired
        }
    }

    /// True until the value is past its last limit.
    #[inline]
    pub(super) fn is_servable(&self) -> bool {
        self.fresh_until.is_none() || self.freshness(Instant::now()) != Freshness::Expired
    }
}
