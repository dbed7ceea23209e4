//! Why a group ended, and the errors it keeps.

use crate::{
    cancel::{CancelReason, Interrupted},
    panics::Payload,
};

/// Whose error is the body's; children have ids from one.
pub(super) const BODY: u64 = 0;

/// How many errors beyond the first are kept; the rest are counted.
const SUPPRESSED_KEPT: usize = 64;

/// The first cause of a group's end. Later ones do not replace it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The body and all children finished.
    Finished,
    /// `cancel()` on the group.
    Requested,
    /// The token of the surrounding scope, or of the named parent, fired.
    Parent(CancelReason),
    /// A child or the body returned an error.
    Failed,
    /// A child or the body panicked.
    Panicked,
    /// The time limit was reached.
    Deadline,
    /// `run` or the group was dropped.
    OwnerDropped,
}

impl Cause {
    pub(super) fn reason(self) -> CancelReason {
        match self {
            Self::Finished => CancelReason::Finished,
            Self::Requested => CancelReason::Requested,
            Self::Parent(reason) => reason,
            Self::Failed | Self::Panicked => CancelReason::SiblingFailed,
            Self::Deadline => CancelReason::Deadline,
            Self::OwnerDropped => CancelReason::OwnerDropped,
        }
    }

    /// What the handles of interrupted children yield.
    pub(super) fn interrupted(self) -> Interrupted {
        self.reason().into()
    }

    /// Whether the body of `run` is dropped at its await, at once.
    pub(super) fn interrupts_body(self) -> bool {
        !matches!(self, Self::Finished | Self::Requested)
    }
}

/// What became of an error.
pub(super) enum Recorded<E> {
    /// It is the first cause.
    Decides,
    Kept,
    /// It is only counted. Its destructor is code of others, so it is for the caller to drop.
    NoRoom(E),
}

/// The outcome of a group so far.
///
/// # Invariants
///
/// 1. `cause` is written once.
/// 2. `primary` is filled together with the cause `Failed`, or by the body of a group that was cancelled by
///    [`cancel`](super::TaskGroup::cancel), which leaves the body its own answer.
pub(super) struct Verdict<E> {
    pub(super) cause: Option<Cause>,
    /// The error that `run` returns, with the id of the child.
    primary: Option<(u64, E)>,
    /// The first panic; it beats every error.
    panic: Option<Payload>,
    /// The other errors, as they came.
    suppressed: Vec<(u64, E)>,
    /// Errors that found no room among the suppressed.
    pub(super) not_kept: u64,
}

impl<E> Verdict<E> {
    pub(super) fn new() -> Self {
        Self {
            cause: None,
            primary: None,
            panic: None,
            suppressed: Vec::new(),
            not_kept: 0,
        }
    }

    /// Records an error.
    pub(super) fn fail(&mut self, id: u64, error: E) -> Recorded<E> {
        match self.cause {
            None => {
                self.cause = Some(Cause::Failed);
                self.primary = Some((id, error));
                Recorded::Decides
            }
            Some(Cause::Requested) if id == BODY => {
                self.primary = Some((id, error));
                Recorded::Kept
            }
            Some(_) => self.suppress(id, error),
        }
    }

    fn suppress(&mut self, id: u64, error: E) -> Recorded<E> {
        if self.suppressed.len() == SUPPRESSED_KEPT {
            self.not_kept += 1;
            return Recorded::NoRoom(error);
        }
        self.suppressed.push((id, error));
        Recorded::Kept
    }

    /// Records a panic; hands back what there is no room for: the payload of a later panic, an error.
    pub(super) fn panicked(&mut self, payload: Payload) -> (Option<Payload>, Recorded<E>) {
        self.cause.get_or_insert(Cause::Panicked);
        if self.panic.is_some() {
            return (Some(payload), Recorded::Kept);
        }
        self.panic = Some(payload);
        // The panic is what the caller will see; the error that came first stays readable.
        let primary = self.primary.take();
        (
            None,
            primary.map_or(Recorded::Kept, |(id, error)| self.suppress(id, error)),
        )
    }

    /// Whether the body of `run` is dropped at its await, at once.
    pub(super) fn interrupts_body(&self) -> bool {
        self.panic.is_some() || self.cause.is_some_and(Cause::interrupts_body)
    }

    pub(super) fn has_panic(&self) -> bool {
        self.panic.is_some()
    }

    pub(super) fn take_panic(&mut self) -> Option<Payload> {
        self.panic.take()
    }

    pub(super) fn take_primary(&mut self) -> Option<E> {
        self.primary.take().map(|(_, error)| error)
    }

    /// The errors beyond the first, in spawn order.
    pub(super) fn take_suppressed(&mut self) -> Vec<E> {
        let mut suppressed = std::mem::take(&mut self.suppressed);
        suppressed.sort_by_key(|(id, _)| *id);
        suppressed.into_iter().map(|(_, error)| error).collect()
    }

    pub(super) fn suppressed_count(&self) -> usize {
        self.suppressed.len()
    }
}
