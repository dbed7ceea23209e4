//! What a user chooses for a lazy value, or for each value of a map.

use std::{borrow::Cow, panic::Location, time::Duration};

use super::{backoff::ErrorBackoff, freshness::ValueLimits};

/// What a user chose for a cell.
#[derive(Debug)]
pub(super) struct LazySettings {
    pub(super) name: Option<Cow<'static, str>>,
    /// Where the cell was made; stands for a missing name.
    pub(super) location: &'static Location<'static>,
    pub(super) limits: ValueLimits,
    pub(super) error_backoff: Option<ErrorBackoff>,
    pub(super) keep_warm: bool,
    pub(super) timeout: Option<Duration>,
}

impl LazySettings {
    pub(super) fn new(location: &'static Location<'static>) -> Self {
        Self {
            name: None,
            location,
            limits: ValueLimits::FOR_EVER,
            error_backoff: None,
            keep_warm: false,
            timeout: None,
        }
    }

    pub(super) fn name(&self) -> String {
        match &self.name {
            Some(name) => name.to_string(),
            None => format!("{}:{}", self.location.file(), self.location.line()),
        }
    }
}

/// The setters of both builders, in an `impl` of a type with `settings`.
macro_rules! setters {
    () => {
        /// Names it in `Debug`, logs and spans; the default is the place where it was made.
        pub fn name(mut self, name: impl Into<std::borrow::Cow<'static, str>>) -> Self {
            self.settings.name = Some(name.into());
            self
        }

        /// Sets how long a value is fresh, from the completion of its computation; the default is for ever.
        ///
        /// Zero never caches: those who wait together still share one computation.
        pub fn ttl(mut self, ttl: std::time::Duration) -> Self {
            self.settings.limits.ttl = Some(ttl);
            self
        }

        /// Sets how long after its [`ttl`](Self::ttl) a value is served while a new one is computed in the
        /// background; the default is zero.
        ///
        /// Nobody waits for that computation and nobody's leaving stops it. After a failed one the next starts at
        /// least a second (or the [`error_backoff`](Self::error_backoff)) later.
        pub fn stale_while_revalidate(mut self, limit: std::time::Duration) -> Self {
            self.settings.limits.stale_while_revalidate = limit;
            self
        }

        /// Sets how long after its [`ttl`](Self::ttl) a value is served in place of an error, a panic or a
        /// timeout of a new computation; the default is zero.
        pub fn stale_if_error(mut self, limit: std::time::Duration) -> Self {
            self.settings.limits.stale_if_error = limit;
            self
        }

        /// Shortens the [`ttl`](Self::ttl) of each value by a random share of it, at most `share` (0 to 1); the
        /// default is zero.
        ///
        /// It keeps values that were computed together from expiring together. The other limits are added to the
        /// shortened one.
        ///
        /// # Panics
        ///
        /// If `share` is not a number from 0 to 1.
        #[track_caller]
        pub fn jitter(mut self, share: f64) -> Self {
            self.settings.limits.jitter = crate::lazy::settings::checked_jitter(share);
            self
        }

        /// Keeps an error for a pause: calls are given it (or a value inside
        /// [`stale_if_error`](Self::stale_if_error)) instead of starting a computation.
        ///
        /// The pause is a [`Duration`](std::time::Duration), or grows as [`ErrorBackoff::exponential`](crate::lazy::ErrorBackoff::exponential) says.
        /// By default errors are not kept: those who waited share it, and the next call computes anew.
        /// [`refresh`](crate::AsyncLazy::refresh) computes in any case.
        pub fn error_backoff(
            mut self,
            pause: impl Into<crate::lazy::backoff::ErrorBackoff>,
        ) -> Self {
            self.settings.error_backoff = Some(pause.into());
            self
        }

        /// Lets a computation go on when its last waiter leaves; the default is false.
        pub fn keep_warm(mut self, keep: bool) -> Self {
            self.settings.keep_warm = keep;
            self
        }

        /// Limits a computation: at `limit` it is dropped and its waiters are given [`LazyError::TimedOut`](crate::LazyError::TimedOut); the
        /// default is no limit.
        ///
        /// It needs a runtime with its time driver enabled; on another one the computation ends as
        /// [`LazyError::Panicked`](crate::LazyError::Panicked).
        pub fn timeout(mut self, limit: std::time::Duration) -> Self {
            self.settings.timeout = Some(limit);
            self
        }
    };
}

pub(super) use setters;

#[track_caller]
pub(super) fn checked_jitter(share: f64) -> f64 {
    assert!(
        (0.0..=1.0).contains(&share),
        "the jitter of a lazy value is a share from 0 to 1, not {share}"
    );
    share
}
