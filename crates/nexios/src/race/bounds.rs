//! What can end a race from outside: the overall limit, and the scope in which the race was made.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

use crate::{CancelReason, CancelScope, CancelToken};

/// The limits of one race.
#[derive(Default)]
pub(crate) struct Bounds {
    /// The token of the surrounding scope.
    token: Option<CancelToken>,
    /// The deadline of the surrounding scope.
    deadline: Option<Instant>,
    /// The overall limit, from the first poll.
    pub(super) timeout: Option<Duration>,
    /// Waits for `token`; made when the race has to wait.
    cancelled: Option<Pin<Box<dyn Future<Output = CancelReason> + Send>>>,
}

/// The instant at which a race is over, whatever happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) at: Instant,
    /// Whether it is the scope's deadline and not the race's own limit.
    pub(super) inherited: bool,
}

impl Bounds {
    /// Inherits the token and deadline of `scope`.
    pub(crate) fn of(scope: Option<CancelScope>) -> Self {
        let Some(scope) = scope else {
            return Self::default();
        };
        Self { token: Some(scope.token()), deadline: scope.deadline(), ..Self::default() }
    }

    pub(super) fn are_timed(&self) -> bool {
        self.deadline.is_some() || self.timeout.is_some()
    }

    /// The earlier of the two limits; in a tie the outer one is reported.
    pub(super) fn end(&self, began: Instant) -> Option<End> {
        // A limit beyond the end of the clock is no limit.
        let own = self.timeout.and_then(|timeout| began.checked_add(timeout));
        match (own, self.deadline) {
            (Some(own), Some(deadline)) if own < deadline => Some(End { at: own, inherited: false }),
            (_, Some(deadline)) => Some(End { at: deadline, inherited: true }),
            (Some(own), None) => Some(End { at: own, inherited: false }),
            (None, None) => None,
        }
    }

    pub(super) fn cancelled(&self) -> Option<CancelReason> {
        self.token.as_ref().and_then(CancelToken::reason)
    }

    /// Arranges a wake-up for the token; true when it has fired already.
    pub(super) fn watch(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(token) = &self.token else {
            return false;
        };
        let cancelled = self.cancelled.get_or_insert_with(|| {
            let token = token.clone();
            Box::pin(async move { token.cancelled().await })
        });
        cancelled.as_mut().poll(cx).is_ready()
    }

    /// Stops watching.
    pub(super) fn close(&mut self) {
        self.cancelled = None;
    }
}

impl fmt::Debug for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounds")
            .field("token", &self.token)
            .field("deadline", &self.deadline)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The one timer of a race, made when something is to wait for.
#[derive(Debug, Default)]
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Arranges a wake-up at `instant`; true when it has passed already.
    ///
    /// # Panics
    ///
    /// When there is no tokio runtime with its clock enabled.
    pub(super) fn watch(&mut self, instant: Instant, cx: &mut Context<'_>) -> bool {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(instant)));
        if sleep.deadline() != instant {
            sleep.as_mut().reset(instant);
        }
        matches!(sleep.as_mut().poll(cx), Poll::Ready(()))
    }

    pub(super) fn close(&mut self) {
        self.sleep = None;
    }
}
