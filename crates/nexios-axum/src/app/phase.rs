//! Where a service is in its life.

use std::fmt;

/// Where a service is in its life; phases only advance.
///
/// | phase | begins with | readiness | new connections |
/// |---|---|---|---|
/// | `Starting` | `serve` | 503 | not yet |
/// | `Ready` | the last startup hook has ended, the listener is open | 200 | accepted |
/// | `Draining` | a signal, or [`AppHandle::stop`](crate::AppHandle::stop) | 503 | accepted, and closed after their answer |
/// | `Closing` | the time for still accepting is over | – | refused |
/// | `Cancelling` | the time for undisturbed work is over, or a further signal | – | refused |
/// | `Stopped` | all has ended or was given up | – | refused |
///
/// # Examples
///
/// ```
/// use nexios_axum::Phase;
///
/// assert!(Phase::Ready < Phase::Draining); // a service is told to end when this is passed
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// The startup hooks run.
    Starting,
    /// The service does its work.
    Ready,
    /// Still accepting, but asking to be left alone.
    Draining,
    /// No new connections; streams are told to end, all other work may finish.
    Closing,
    /// Requests and tasks are cancelled and may clean up.
    Cancelling,
    /// The end.
    Stopped,
}

impl Phase {
    /// The phase as a word of the status and the log.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::Phase;
    ///
    /// assert_eq!(Phase::Draining.as_str(), "draining");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Draining => "draining",
            Phase::Closing => "closing",
            Phase::Cancelling => "cancelling",
            Phase::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
