//! Work of which several threads have something to say.
//!
//! Invariants:
//! - What is said is told in the order in which it was said, one after the other, and nothing after the end.
//! - No lock is held while an observer is called.
//! - Whoever says something goes on when it has been told, with all that was said before, also if another thread tells it; so
//!   an owner who then ends does so after its work. Within a call of an observer nobody waits: it could be for itself.
//! - Under the lock only plain data moves: what is said is put into words before.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::{
    entered::SlowPolls,
    handle::Handle,
    identity::WorkId,
    observed::{self, Entered, New, Observed},
    observers,
    outcome::{Outcome, Update},
};
use crate::{
    cancel::CancelReason,
    sync::{Condvar, Mutex, MutexGuard},
};

/// Work that is shared by those who may end it; nothing if nobody observed when it was made.
pub(crate) struct ConcurrentWork(Option<Arc<Shared>>);

struct Shared {
    handle: Handle,
    mail: Mutex<Mail>,
    /// Rung when something was told that somebody waits for.
    told: Condvar,
}

struct Mail {
    /// Said and not yet told.
    events: VecDeque<Event>,
    /// How many events were said, and how many of them were told.
    said: u64,
    told: u64,
    /// How many threads wait until what they have said is told.
    waiting: usize,
    /// Somebody is telling, or is about to say that it is made.
    telling: bool,
    /// Said that it has started.
    started: bool,
    /// Said that its token fired.
    cancelling: bool,
    /// Its owner has left it to the process, so however it ends, that is its outcome.
    adopted: bool,
    /// The end was said.
    over: bool,
}

enum Event {
    Started,
    Said(Saying),
    Cancelling(CancelReason),
    SlowPoll(Duration),
    Adopted,
    Ended(End),
}

/// What it says of itself, kept until it is told.
pub(crate) enum Saying {
    Progress { done: u64, total: u64 },
    Message(String),
    Attribute { name: &'static str, value: String },
    Attempt(u32),
}

/// How it ended, with the text of a panic or an error.
pub(crate) enum End {
    Completed,
    Failed(Option<String>),
    Panicked(String),
    Cancelled(CancelReason),
    TimedOut,
    Refused,
}

impl ConcurrentWork {
    /// Says that work is made; `describe` is not called if nobody observes.
    #[inline]
    pub(crate) fn made<'a>(describe: impl FnOnce() -> New<'a>) -> Self {
        Self(
            Observed::made(describe)
                .into_handle()
                .map(|handle| Arc::new(Shared::new(handle, false))),
        )
    }

    /// Work that has its number before anybody can be told of it, as under a lock: [`announce`](Self::announce) must follow,
    /// and what others say meanwhile waits for it.
    #[inline]
    pub(crate) fn numbered(id: WorkId) -> Self {
        if !observers::anybody() {
            return Self(None);
        }
        Self(
            observers::present()
                .map(|observers| Arc::new(Shared::new(Handle::new(id, observers), true))),
        )
    }

    /// Says that it is made, and what others have said of it since.
    #[inline]
    pub(crate) fn announce<'a>(&self, describe: impl FnOnce() -> New<'a>) {
        if let Some(shared) = &self.0 {
            observed::tell_made(&shared.handle, &describe());
            let mut mail = shared.lock();
            let first = mail.events.pop_front();
            shared.deliver(mail, first);
        }
    }

    /// For what it is made of, where that is dropped later than its owner knows: it is cut off when this is dropped.
    pub(crate) fn until_dropped(&self) -> Self {
        Self(self.0.clone())
    }

    /// Whether anybody is told of it.
    #[inline]
    pub(crate) fn is_observed(&self) -> bool {
        self.0.is_some()
    }

    /// Its number, if anybody was told of it.
    pub(crate) fn id(&self) -> Option<WorkId> {
        self.0.as_ref().map(|shared| shared.handle.id())
    }

    /// It is polled: what is made until the guard is dropped is its part, and it says if that took long.
    #[inline]
    pub(crate) fn enter(&self) -> Option<Entered> {
        self.0
            .as_ref()
            .map(|shared| Entered::poll_shared(&shared.handle, shared.clone()))
    }

    /// The same for code that may take as long as it likes.
    #[inline]
    pub(crate) fn enter_blocking(&self) -> Option<Entered> {
        self.0
            .as_ref()
            .map(|shared| Entered::blocking(&shared.handle))
    }

    /// It is about to be polled or run; said the first time.
    #[inline]
    pub(crate) fn started(&self) {
        self.say(|mail| (!mem::replace(&mut mail.started, true)).then_some(Event::Started));
    }

    /// What it says of itself; not asked for if nobody is told.
    #[inline]
    pub(crate) fn said(&self, saying: impl FnOnce() -> Saying) {
        if let Some(shared) = &self.0 {
            let said = Event::Said(saying());
            shared.say(|_| Some(said));
        }
    }

    /// Its token has fired, and it goes on for a while; said once.
    #[inline]
    pub(crate) fn cancelling(&self, reason: CancelReason) {
        self.say(|mail| {
            (!mem::replace(&mut mail.cancelling, true)).then_some(Event::Cancelling(reason))
        });
    }

    /// The same, unless it has not started: what ends it then is all there is to say.
    pub(crate) fn cancelling_if_started(&self, reason: CancelReason) {
        self.say(|mail| {
            (mail.started && !mem::replace(&mut mail.cancelling, true))
                .then_some(Event::Cancelling(reason))
        });
    }

    /// Its owner ends now, and it goes on for a while: it is cancelled, and the process waits for it.
    #[inline]
    pub(crate) fn adopted(&self) {
        self.cancelling(CancelReason::OwnerDropped);
        self.say(|mail| {
            mail.adopted = true;
            Some(Event::Adopted)
        });
    }

    /// Its owner ends now, and from now on the process waits for it; it goes on to its own end.
    #[inline]
    pub(crate) fn handed_over(&self) {
        self.say(|_| Some(Event::Adopted));
    }

    /// It is over; what it was made of is gone.
    #[inline]
    pub(crate) fn ended(&self, end: impl FnOnce() -> End) {
        if let Some(shared) = &self.0 {
            let end = end();
            shared.say(|mail| {
                mail.over = true;
                let left = End::Cancelled(CancelReason::OwnerDropped);
                Some(Event::Ended(if mail.adopted { left } else { end }))
            });
        }
    }

    #[inline]
    fn say(&self, event: impl FnOnce(&mut Mail) -> Option<Event>) {
        if let Some(shared) = &self.0 {
            shared.say(event);
        }
    }
}

impl Drop for ConcurrentWork {
    #[inline]
    fn drop(&mut self) {
        self.ended(|| End::Cancelled(CancelReason::OwnerDropped));
    }
}

impl SlowPolls for Shared {
    fn slow_poll(&self, took: Duration) {
        self.say(|_| Some(Event::SlowPoll(took)));
    }
}

impl Shared {
    fn new(handle: Handle, telling: bool) -> Self {
        let mail = Mail {
            events: VecDeque::new(),
            said: 0,
            told: 0,
            waiting: 0,
            telling,
            started: false,
            cancelling: false,
            adopted: false,
            over: false,
        };
        Self {
            handle,
            mail: Mutex::new(mail),
            told: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        // Nothing of the user's runs under this lock.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, event: impl FnOnce(&mut Mail) -> Option<Event>) {
        let mut mail = self.lock();
        let event = if mail.over { None } else { event(&mut mail) };
        mail.said += u64::from(event.is_some());
        if !mail.telling {
            // Nothing waits to be told, so it need not be put down for somebody else.
            if event.is_some() {
                mail.telling = true;
                self.deliver(mail, event);
            }
            return;
        }
        mail.events.extend(event);
        if observers::is_within_a_call() {
            return;
        }
        // Up to here, and not what is said later: others must not keep this one.
        let said = mail.said;
        mail.waiting += 1;
        while mail.told < said {
            mail = self.told.wait(mail).unwrap_or_else(PoisonError::into_inner);
        }
        mail.waiting -= 1;
    }

    /// Tells what comes first and then all that was said; nobody else does meanwhile. It does not unwind: observers are
    /// contained.
    fn deliver<'a>(&'a self, mut mail: MutexGuard<'a, Mail>, first: Option<Event>) {
        let mut next = first;
        while let Some(event) = next {
            drop(mail);
            self.tell(event);
            mail = self.lock();
            mail.told += 1;
            if mail.waiting > 0 {
                self.told.notify_all();
            }
            next = mail.events.pop_front();
        }
        mail.telling = false;
    }

    fn tell(&self, event: Event) {
        match event {
            Event::Started => self.handle.start(),
            Event::Said(saying) => self.handle.update(&match &saying {
                Saying::Progress { done, total } => Update::Progress {
                    done: *done,
                    total: *total,
                },
                Saying::Message(message) => Update::Message(message),
                Saying::Attribute { name, value } => Update::Attribute { name, value },
                Saying::Attempt(attempt) => Update::Attempt(*attempt),
            }),
            Event::Cancelling(reason) => self.handle.update(&Update::Cancelling(reason)),
            Event::SlowPoll(took) => self.handle.update(&Update::SlowPoll(took)),
            Event::Adopted => self.handle.update(&Update::Adopted),
            Event::Ended(end) => self.handle.end(&match &end {
                End::Completed => Outcome::Completed,
                End::Failed(text) => Outcome::Failed(text.as_deref()),
                End::Panicked(text) => Outcome::Panicked(text),
                End::Cancelled(reason) => Outcome::Cancelled(*reason),
                End::TimedOut => Outcome::TimedOut,
                End::Refused => Outcome::Refused,
            }),
        }
    }
}
