use std::fmt;

/// Why a piece of work was cancelled.
///
/// A reason is written once: the first cause stays, later ones change nothing.
///
/// # Examples
///
/// ```
/// use nexios::{CancelReason, CancelToken};
///
/// let token = CancelToken::new();
/// token.cancel(CancelReason::Shutdown);
/// token.cancel(CancelReason::Requested); // too late
/// assert_eq!(token.reason(), Some(CancelReason::Shutdown));
/// assert_eq!(CancelReason::Shutdown.to_string(), "the service is shutting down");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelReason {
    /// Somebody asked for it: `cancel()` on a group, a task or a token.
    Requested,
    /// Another child of the same group failed.
    SiblingFailed,
    /// The owner (a group, a race, the caller of a pool) was dropped.
    OwnerDropped,
    /// The time limit was reached.
    Deadline,
    /// The client of the request went away.
    ClientDisconnected,
    /// The service is shutting down.
    Shutdown,
    /// The owner ended well; whoever still watches its token may stop.
    Finished,
}

impl CancelReason {
    /// The word for it in JSON, in HTML and as a label.
    ///
    /// ```
    /// assert_eq!(nexios::CancelReason::ClientDisconnected.as_str(), "client_disconnected");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::SiblingFailed => "sibling_failed",
            Self::OwnerDropped => "owner_dropped",
            Self::Deadline => "deadline",
            Self::ClientDisconnected => "client_disconnected",
            Self::Shutdown => "shutdown",
            Self::Finished => "finished",
        }
    }

    /// Packs the reason into a byte; zero is left free for "not cancelled".
    pub(super) const fn to_byte(self) -> u8 {
        match self {
            Self::Requested => 1,
            Self::SiblingFailed => 2,
            Self::OwnerDropped => 3,
            Self::Deadline => 4,
            Self::ClientDisconnected => 5,
            Self::Shutdown => 6,
            Self::Finished => 7,
        }
    }

    /// Reads what [`to_byte`](Self::to_byte) packed.
    pub(super) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Requested,
            2 => Self::SiblingFailed,
            3 => Self::OwnerDropped,
            4 => Self::Deadline,
            5 => Self::ClientDisconnected,
            6 => Self::Shutdown,
            7 => Self::Finished,
            _ => return None,
        })
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "cancellation was requested",
            Self::SiblingFailed => "a sibling failed",
            Self::OwnerDropped => "the owner was dropped",
            Self::Deadline => "the deadline was reached",
            Self::ClientDisconnected => "the client disconnected",
            Self::Shutdown => "the service is shutting down",
            Self::Finished => "the owner finished",
        })
    }
}
