//! What a race needs only when it has to wait or to measure, in one box.
//!
//! A race that is won at its first poll never makes it, and does not carry its room about.

use std::{fmt, future::Future, pin::Pin, task::Context};

use super::{alarm::Alarms, clock::Clock};
use crate::{CancelReason, CancelToken, punctual::poll_punctual};

type Cancelled = Pin<Box<dyn Future<Output = CancelReason> + Send>>;

pin_project_lite::pin_project! {
    pub(super) struct Waiting {
        #[pin]
        pub(super) clock: Clock,
        pub(super) alarms: Alarms,
        // Waits for the scope's token.
        cancelled: Option<Cancelled>,
    }
}

impl Waiting {
    pub(super) fn new(contenders: usize) -> Self {
        Self { clock: Clock::default(), alarms: Alarms::new(contenders), cancelled: None }
    }

    /// Arranges a wake-up for `token`; true when it has fired already.
    pub(super) fn watch_token(self: Pin<&mut Self>, token: &CancelToken, cx: &mut Context<'_>) -> bool {
        let cancelled = self.project().cancelled.get_or_insert_with(|| {
            let token = token.clone();
            Box::pin(async move { token.cancelled().await })
        });
        poll_punctual(Pin::new(cancelled), cx).is_ready()
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.clock.fmt(f)
    }
}
