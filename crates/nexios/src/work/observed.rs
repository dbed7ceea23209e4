//! Work as its owner holds it: what is said of it, and to whom.

use std::{mem, panic::Location};

pub(crate) use super::entered::Entered;
use super::{
    current,
    handle::Handle,
    identity::{Work, WorkId, WorkKind, take_numbers},
    observers,
    outcome::{Outcome, Update},
    place::name_of,
};
use crate::cancel::CancelReason;

/// A piece of work, held by its owner: nothing if nobody observed when it was made.
///
/// It is [`ended`](Self::ended) once; who drops it without a word has dropped the work.
pub(crate) struct Observed(Option<Handle>);

/// Whose part new work is.
pub(crate) enum Parent {
    /// Of what runs here.
    Current,
    /// Of its owner.
    Of(Option<WorkId>),
    /// Nobody's; it outlives what runs here, which caused it.
    Caused,
    /// Nobody's; this work, which may have ended long ago, caused it.
    CausedBy(Option<WorkId>),
}

/// What is said of new work.
pub(crate) struct New<'a> {
    /// Its number, if it has one already.
    pub(crate) id: Option<WorkId>,
    pub(crate) parent: Parent,
    pub(crate) kind: WorkKind,
    /// Else it is called by the place that made it.
    pub(crate) name: Option<&'a str>,
    pub(crate) owner: Option<&'a str>,
    pub(crate) made_at: Option<&'static Location<'static>>,
}

impl Observed {
    /// Work that nobody is told of.
    pub(crate) const UNSEEN: Self = Self(None);

    /// Says that work is made; `describe` is not called if nobody observes.
    #[inline]
    pub(crate) fn made<'a>(describe: impl FnOnce() -> New<'a>) -> Self {
        if observers::anybody() {
            Self::announce(&describe())
        } else {
            Self::UNSEEN
        }
    }

    #[cold]
    fn announce(new: &New<'_>) -> Self {
        // None if the last of them has just left.
        let Some(observers) = observers::present() else {
            return Self::UNSEEN;
        };
        let id = new.id.unwrap_or_else(|| WorkId(take_numbers(1)));
        let handle = Handle::new(id, observers);
        tell_made(&handle, new);
        Self(Some(handle))
    }

    /// Leaves it to somebody else to say the rest.
    pub(super) fn into_handle(mut self) -> Option<Handle> {
        self.0.take()
    }

    /// Its number, if anybody was told of it.
    pub(crate) fn id(&self) -> Option<WorkId> {
        self.0.as_ref().map(Handle::id)
    }

    /// It is about to be polled or run for the first time.
    #[inline]
    pub(crate) fn started(&self) {
        if let Some(handle) = &self.0 {
            handle.start();
        }
    }

    #[inline]
    pub(crate) fn updated(&self, update: &Update<'_>) {
        if let Some(handle) = &self.0 {
            handle.update(update);
        }
    }

    /// It is over; what it was made of is gone.
    #[inline]
    pub(crate) fn ended(mut self, outcome: &Outcome<'_>) {
        self.end(outcome);
    }

    /// It is polled: what is made until the guard is dropped is its part, and it says if that took long.
    #[inline]
    pub(crate) fn enter(&self) -> Option<Entered> {
        self.0.as_ref().map(Entered::poll)
    }

    /// The same for code that may take as long as it likes.
    #[inline]
    pub(crate) fn enter_blocking(&self) -> Option<Entered> {
        self.0.as_ref().map(Entered::blocking)
    }

    /// The same for an owner that is there for a while; nothing is said any more.
    #[inline]
    pub(super) fn end(&mut self, outcome: &Outcome<'_>) {
        if let Some(handle) = mem::take(&mut self.0) {
            handle.end(outcome);
        }
    }
}

impl Drop for Observed {
    #[inline]
    fn drop(&mut self) {
        if self.0.is_some() {
            self.end(&Outcome::Cancelled(CancelReason::OwnerDropped));
        }
    }
}

/// Says that the work of this handle is made.
#[cold]
pub(super) fn tell_made(handle: &Handle, new: &New<'_>) {
    let name = match (new.name, new.made_at) {
        (Some(name), _) => name,
        (None, Some(location)) => name_of(location),
        (None, None) => "",
    };
    let (parent, link) = match new.parent {
        Parent::Current => (current::current(), None),
        Parent::Of(owner) => (owner, None),
        Parent::Caused => (None, current::current()),
        Parent::CausedBy(cause) => (None, cause),
    };
    let work = Work {
        id: handle.id(),
        parent,
        link,
        kind: new.kind,
        name,
        owner: new.owner,
        made_at: new.made_at,
    };
    handle.make(&work);
}
