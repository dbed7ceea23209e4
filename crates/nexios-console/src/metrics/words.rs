//! Our words for ends and reasons in those of the conventions.

use nexios::{CancelReason, observe::Outcome};

use super::label::Value;

pub(super) fn outcome(outcome: &Outcome<'_>) -> Value {
    Value::Fixed(match outcome {
        Outcome::Completed | Outcome::Won => "success",
        Outcome::Cancelled(_) | Outcome::Lost => "cancellation",
        Outcome::TimedOut => "timeout",
        Outcome::Refused => "rejected",
        // What may be added is told as what it is not.
        _ => "failure",
    })
}

/// What went wrong, if something did. The type of an error is not known, for which the conventions have `_OTHER`.
pub(super) fn error(outcome: &Outcome<'_>) -> Value {
    Value::Fixed(match outcome {
        Outcome::Failed(_) => "_OTHER",
        Outcome::Panicked(_) => "panic",
        Outcome::TimedOut | Outcome::Cancelled(CancelReason::Deadline) => "deadline_exceeded",
        _ => return Value::NONE,
    })
}

/// Why a request was cancelled.
pub(super) fn cancelled(reason: CancelReason) -> Value {
    Value::Fixed(match reason {
        CancelReason::ClientDisconnected => "client_disconnect",
        CancelReason::Requested => "admin",
        reason => reason.as_str(),
    })
}
