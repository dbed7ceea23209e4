//! How long each phase of a drain takes: what one caller asks for, and what that makes for all.

use std::time::Duration;

use tokio::time::Instant;

use super::runtime::later;

/// How long a drain waits in its first two phases. Default: 26 s and 3 s, which leaves one of the 30 s that Kubernetes gives a
/// process for whatever comes after it; a `NexiosApp` of nexios-axum gives its tasks as much.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::time::Duration;
/// use nexios::{Background, Drain};
///
/// let background = Background::new();
/// let report = background.drain(Drain { wait: Duration::from_secs(20), cancel: Duration::from_secs(3) }).await;
/// assert!(report.abandoned.is_empty());
///
/// let hurried = Drain { wait: Duration::from_secs(1), ..Drain::default() };
/// assert_eq!(hurried.cancel, Duration::from_secs(3));
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// How long tasks may go on undisturbed.
    pub wait: Duration,
    /// How long tasks may go on after their token has fired.
    pub cancel: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(26),
            cancel: Duration::from_secs(3),
        }
    }
}

/// The limits of all who await one drain; they only shrink.
#[derive(Clone, Copy)]
pub(super) struct DrainLimits {
    /// End of the first phase.
    pub(super) wait: Instant,
    /// Length of the second phase.
    cancel: Duration,
}

impl DrainLimits {
    pub(super) fn new(now: Instant, drain: Drain) -> Self {
        Self {
            wait: later(now, drain.wait),
            cancel: drain.cancel,
        }
    }

    /// Takes the shorter ones of these and a later drain's, which begins now.
    pub(super) fn shorten(&mut self, now: Instant, drain: Drain) {
        self.wait = self.wait.min(later(now, drain.wait));
        let in_second_phase = now.saturating_duration_since(self.wait);
        self.cancel = self
            .cancel
            .min(in_second_phase.saturating_add(drain.cancel));
    }

    /// End of the second phase.
    pub(super) fn end(&self) -> Instant {
        later(self.wait, self.cancel)
    }
}
