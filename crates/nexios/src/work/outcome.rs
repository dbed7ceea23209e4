use std::time::Duration;

use super::identity::WorkId;
use crate::cancel::CancelReason;

/// How work ended.
///
/// | ended | outcome |
/// |---|---|
/// | with a value, or `Ok` | `Completed` |
/// | with `Err` | `Failed`, with the text where the error is known to be `Display` (`spawn_fallible`) |
/// | with a panic | `Panicked`, with the text of the panic |
/// | at its own limit (group, race, candidate, background task, computation) | `TimedOut`; what was inside it: `Cancelled(Deadline)` |
/// | group: `cancel()` | group and children `Cancelled(Requested)`; `Task::cancel`: that child alone |
/// | group: a child or the body failed or panicked | the group `Failed` or `Panicked`, the others `Cancelled(SiblingFailed)` |
/// | group, race: the scope's token fired | all `Cancelled` with the token's reason |
/// | dropped with work in it | all `Cancelled(OwnerDropped)`, or the token's reason if it had fired |
/// | group dropped with no live child, not failed, not cancelled | `Completed` |
/// | daemon, when all the others have ended | `Cancelled(Finished)` |
/// | spawned on a group that is closed or gone | `Refused`, never started |
/// | pool: shed (`Saturated`, `QueueTimeout`), `try_run` handed back, `Closed` at the call | `Refused`; still queued at `close`: `Cancelled(Shutdown)` |
/// | pool: the caller is gone | queued: `Cancelled(OwnerDropped)` at once; running: the same, but when the closure has really ended |
/// | race, hedge: answered | race and hedge call `Completed`, the winner `Won`, all others `Lost`, those that never started too |
/// | race: a value that `accept` refuses | that candidate `Refused` |
/// | race: `fatal`, `first_completed` with an `Err`, a panic | those that ran or waited: `Cancelled(SiblingFailed)` |
/// | background: refused (`Full`, `ShuttingDown`, `Duplicate`; `create_background_task` and `spawn_future`: the handle yields `BackgroundFailure::Refused`) | `Refused` |
/// | background: abandoned by a drain | `Cancelled(Shutdown)` |
/// | computation: all waiters have left | `Cancelled(OwnerDropped)` |
/// | the runtime is shut down under it | `Cancelled(Shutdown)` or `Cancelled(OwnerDropped)` |
///
/// ```
/// use nexios::{CancelReason, observe::Outcome};
///
/// let outcome = Outcome::Cancelled(CancelReason::Deadline);
/// assert_eq!(outcome.as_str(), "cancelled");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// With a value.
    Completed,
    /// With an error, and its text where that is known.
    Failed(Option<&'a str>),
    /// With a panic, and its text.
    Panicked(&'a str),
    /// Cut off from outside.
    Cancelled(CancelReason),
    /// Cut off at its own limit.
    TimedOut,
    /// Its answer is the race's.
    Won,
    /// Another one's answer is.
    Lost,
    /// Not taken on, or an answer that was not wanted.
    Refused,
}

impl Outcome<'_> {
    /// The word for it in JSON, in HTML and as a label: `completed`, `failed`, `panicked`, `cancelled`, `timed_out`,
    /// `won`, `lost`, `refused`.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(nexios::observe::Outcome::Failed(Some("no such file")).as_str(), "failed");
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed(_) => "failed",
            Self::Panicked(_) => "panicked",
            Self::Cancelled(_) => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Refused => "refused",
        }
    }
}

/// What happens between the start of work and its end.
///
/// ```
/// use nexios::observe::{self, Update};
///
/// let import = observe::custom("import");
/// import.update(&Update::Progress { done: 3, total: 10 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update<'a> {
    /// How far it is, in units of its own.
    Progress {
        /// So many are done.
        done: u64,
        /// Of so many.
        total: u64,
    },
    /// A line about what it does.
    Message(&'a str),
    /// A fact about it that no other update has. What serves requests says `status`, `uri`, `deadline_ms` (from the
    /// request's start), `response_bytes` and, when it is turned away for a pool, `shed_by`, the pool by name; a schedule says
    /// `next_unix_ms`, and what is tried or runs again `last_error`. A later value replaces an earlier one; an empty one
    /// takes it back.
    Attribute {
        /// What it is.
        name: &'a str,
        /// Numbers in decimal.
        value: &'a str,
    },
    /// It held its thread for so long in one poll, and the tasks beside it waited. Said from 100 ms on, by the innermost
    /// work that was polled; never of the closures of a pool or of [`scope`](super::CustomWork::scope).
    SlowPoll(Duration),
    /// Its token fired and its future is still there: a grace, a task that cleans up, a closure whose caller is gone.
    /// Said once.
    Cancelling(CancelReason),
    /// The attempt that begins, said from the second one on: one that failed and is followed by it says `last_error` first. A
    /// schedule says each of its runs, the first one too, and `next_unix_ms` whenever it begins to wait for one.
    Attempt(u32),
    /// It waits for work that is not its own.
    Waiting {
        /// The lazy value by name.
        name: &'a str,
        /// The computation that runs.
        on: Option<WorkId>,
    },
    /// What it waited for has come, or it waits no longer.
    Resumed,
    /// Its parent ends before it does; from now on the process waits for it. Said before the parent's end, to finalizers
    /// of a dropped group, unwinding parallel children and closures whose caller is gone. All others end before their
    /// parents.
    Adopted,
}
