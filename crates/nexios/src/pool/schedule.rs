//! Which job goes where: admission, order, thread demand, and the counts.
//!
//! Plain data under the pool's lock. It never runs, drops or wakes anything of the user's: it says what
//! to do and the callers do it after the lock is released.
//!
//! # Invariants
//!
//! 1. A ticket is in at most one of `queued`, `waiting` and `running`; older jobs have lower tickets, and every queued job
//!    is older than every waiting one.
//! 2. `busy <= alive <= threads`. As many of the queued jobs as there are free threads have one that comes for them; the
//!    others are at most as many as there are places.
//! 3. While the queue has room, no caller waits.
//! 4. A job leaves through exactly one of `finish`, `cancel`, `expire`, `withdraw`, `drain`, `close` or a refusal of `submit`,
//!    and is counted there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    error::PoolError,
    job::{ErasedJob, JobEnd},
};

/// Whether new work is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolPhase {
    Open,
    /// Only nested jobs of accepted ones.
    Draining,
    Closed,
}

/// What becomes of a job when no thread is free for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenBusy {
    /// It is queued, or stands in line for a place in the queue.
    Wait,
    /// It is queued, or refused.
    Shed,
    /// It is awaited on a thread of a pool, which runs it.
    Nested,
}

/// Where a submitted job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Submitted {
    /// A thread comes for it; no time limit applies.
    Assigned,
    /// In the queue, or in line for it.
    Queued,
    /// Counted as running: the caller's thread has to run it now.
    Inline,
}

/// The place of a job in the order of submission.
pub(super) type Ticket = u64;

/// What to do for threads after the lock is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Signal {
    Nothing,
    Wake,
    Start,
}

/// A job that no thread has begun.
struct Queued {
    job: Arc<dyn ErasedJob>,
    /// A thread was free for it at once.
    limitless: bool,
}

/// A job for the thread that has taken it.
pub(super) struct Begun {
    pub(super) ticket: Ticket,
    pub(super) job: Arc<dyn ErasedJob>,
    /// No time limit applies.
    pub(super) limitless: bool,
}

/// The threads. `alive - busy - parked` of them are about to look for a job.
#[derive(Default)]
pub(super) struct Crew {
    /// Started, or about to be, and not ended.
    pub(super) alive: usize,
    /// Running a job.
    busy: usize,
    /// Asleep and not called.
    pub(super) parked: usize,
    /// Calls that no sleeper has answered yet.
    pub(super) calls: usize,
}

pub(super) struct Schedule {
    /// Accepted jobs that no thread has begun.
    queued: BTreeMap<Ticket, Queued>,
    /// Jobs whose callers wait for a place in the queue.
    waiting: BTreeMap<Ticket, Arc<dyn ErasedJob>>,
    /// Jobs whose closures were handed to a thread and have not ended.
    running: BTreeMap<Ticket, Arc<dyn ErasedJob>>,
    next_ticket: Ticket,
    pub(super) crew: Crew,
    /// Whether new work is taken; only ever moves forward.
    pub(super) phase: PoolPhase,
    /// No handle is left; the threads end when there is nothing to do.
    orphaned: bool,
    /// A caller has reached the time limit since nobody stood in line, or somebody has stood there for that long:
    /// newest first.
    overloaded: bool,
    /// The time limit of `ShedAfter`.
    limit: Option<Duration>,
    /// Since when somebody stands in line, on the clock of whoever came first.
    standing_since: Option<Instant>,
    /// Threads at most.
    threads: usize,
    /// Jobs that may be queued beyond those that have a thread.
    places: usize,
    /// Jobs whose closure ended.
    pub(super) completed: u64,
    /// Jobs refused or dropped because of load.
    pub(super) shed: u64,
    /// Jobs dropped because the caller went or the pool closed.
    pub(super) cancelled: u64,
}

impl Schedule {
    pub(super) fn new(threads: usize, places: usize, limit: Option<Duration>) -> Self {
        Self {
            queued: BTreeMap::new(),
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            next_ticket: 0,
            crew: Crew::default(),
            phase: PoolPhase::Open,
            orphaned: false,
            overloaded: false,
            limit,
            standing_since: None,
            threads,
            places,
            completed: 0,
            shed: 0,
            cancelled: 0,
        }
    }

    pub(super) fn submit(
        &mut self,
        job: &Arc<dyn ErasedJob>,
        admission: WhenBusy,
        now: Instant,
    ) -> (Result<(Ticket, Submitted), PoolError>, Signal) {
        let nested = admission == WhenBusy::Nested;
        if self.phase == PoolPhase::Closed || (self.phase == PoolPhase::Draining && !nested) {
            self.cancelled += 1;
            return (Err(PoolError::Closed), Signal::Nothing);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let job = Arc::clone(job);
        // Not "a thread is idle": of the free threads some are promised to jobs that are queued already (invariant 2).
        if self.queued.len() < self.free() {
            self.queued.insert(
                ticket,
                Queued {
                    job,
                    limitless: true,
                },
            );
            (Ok((ticket, Submitted::Assigned)), self.demand())
        } else if nested {
            // Counted as running before its thread runs it, so that a close tells it and a drain waits for it.
            self.running.insert(ticket, job);
            (Ok((ticket, Submitted::Inline)), Signal::Nothing)
        } else if self.has_room() {
            self.queued.insert(
                ticket,
                Queued {
                    job,
                    limitless: false,
                },
            );
            self.note_standing(now);
            (Ok((ticket, Submitted::Queued)), Signal::Nothing)
        } else if admission == WhenBusy::Wait {
            self.waiting.insert(ticket, job);
            self.note_standing(now);
            (Ok((ticket, Submitted::Queued)), Signal::Nothing)
        } else {
            self.shed += 1;
            (Err(PoolError::Saturated), Signal::Nothing)
        }
    }

    /// Gives a job to the thread that waits for it, unless a thread has it or comes for it; true when it is that
    /// thread's to run.
    pub(super) fn take_over(&mut self, ticket: Ticket) -> bool {
        let promised = self
            .queued
            .get(&ticket)
            .is_some_and(|queued| queued.limitless);
        // Not everyone who was promised a thread has one: it could not be started.
        let coming = self.crew.alive - self.crew.busy;
        if promised
            && self
                .queued
                .keys()
                .take(coming)
                .any(|taken_first| *taken_first == ticket)
        {
            return false;
        }
        // Out of the queue and in with those that run under one lock: in between, nobody would count it.
        let Some(job) = self.remove(ticket) else {
            return false;
        };
        self.running.insert(ticket, job);
        true
    }

    /// The next job for a free thread, which is busy from here.
    pub(super) fn take(&mut self) -> Option<Begun> {
        let oldest = self.queued.first_key_value();
        // A job that was promised a thread at once is not overtaken.
        let newest_first = self.overloaded && oldest.is_none_or(|(_, oldest)| !oldest.limitless);
        let from_line = |(ticket, job)| {
            (
                ticket,
                Queued {
                    job,
                    limitless: false,
                },
            )
        };
        // Those in line are younger than all that are queued (invariant 1), so each end of the order is in one map.
        let next = if newest_first {
            self.waiting
                .pop_last()
                .map(from_line)
                .or_else(|| self.queued.pop_last())
        } else {
            self.queued
                .pop_first()
                .or_else(|| self.waiting.pop_first().map(from_line))
        };
        let (ticket, Queued { job, limitless }) = next?;
        let begun = Begun {
            ticket,
            job,
            limitless,
        };
        self.crew.busy += 1;
        self.running.insert(begun.ticket, Arc::clone(&begun.job));
        // After `busy` has changed, which decides how much room there is.
        self.refill();
        Some(begun)
    }

    /// Counts a job that has ended on a thread that is free from here, or (`inline`) on that of its waiter.
    pub(super) fn finish(&mut self, ticket: Ticket, ending: JobEnd, inline: bool) {
        self.running.remove(&ticket);
        match ending {
            JobEnd::Completed => self.completed += 1,
            JobEnd::Cancelled => self.cancelled += 1,
            JobEnd::TooLate => {
                self.shed += 1;
                self.overloaded = true;
            }
        }
        // A thread that waits for a nested job was busy before and is afterwards, or is not of this pool at all.
        if !inline {
            self.crew.busy -= 1;
        }
    }

    /// Takes out a job whose caller has gone, unless a thread has it; true when it was taken out.
    pub(super) fn cancel(&mut self, ticket: Ticket) -> bool {
        let removed = self.remove(ticket).is_some();
        self.cancelled += u64::from(removed);
        removed
    }

    /// Takes out a job whose time limit has passed, unless a thread has it; true when it was taken out.
    pub(super) fn expire(&mut self, ticket: Ticket) -> bool {
        let removed = self.remove(ticket).is_some();
        self.shed += u64::from(removed);
        // Whoever reached the limit may have been the last in line.
        self.overloaded |= removed && self.stands();
        removed
    }

    /// Takes out a job for which no thread could be started, unless a thread has it; true when it was taken out.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> bool {
        let removed = self.remove(ticket).is_some();
        self.shed += u64::from(removed);
        removed
    }

    /// Stops taking new work from outside; returns the jobs whose callers wait for a place.
    pub(super) fn drain(&mut self) -> Vec<Arc<dyn ErasedJob>> {
        if self.phase == PoolPhase::Open {
            self.phase = PoolPhase::Draining;
        }
        // A sleeper has to see the new phase, or it would sleep beyond the end.
        self.call_all();
        let refused: Vec<_> = std::mem::take(&mut self.waiting).into_values().collect();
        self.cancelled += refused.len() as u64;
        refused
    }

    /// Stops taking work; returns the jobs that no thread has begun.
    pub(super) fn close(&mut self) -> Vec<Arc<dyn ErasedJob>> {
        self.phase = PoolPhase::Closed;
        self.call_all();
        let queued = std::mem::take(&mut self.queued)
            .into_values()
            .map(|queued| queued.job);
        let refused: Vec<_> = queued
            .chain(std::mem::take(&mut self.waiting).into_values())
            .collect();
        self.cancelled += refused.len() as u64;
        refused
    }

    /// Notes that no handle is left.
    pub(super) fn orphan(&mut self) {
        self.orphaned = true;
        self.call_all();
    }

    /// Whether threads without a job end.
    pub(super) fn is_ending(&self) -> bool {
        self.orphaned || self.phase != PoolPhase::Open
    }

    /// Whether no job is left but some that run.
    pub(super) fn only_runs(&self) -> bool {
        self.queued.is_empty() && self.waiting.is_empty()
    }

    /// How many jobs have not ended.
    pub(super) fn jobs(&self) -> usize {
        self.queued.len() + self.waiting.len() + self.running.len()
    }

    /// The jobs that run.
    pub(super) fn running_jobs(&self) -> Vec<Arc<dyn ErasedJob>> {
        self.running.values().cloned().collect()
    }

    /// How many jobs run.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// How many jobs are queued and have a thread that comes for them.
    pub(super) fn assigned(&self) -> usize {
        self.queued.len().min(self.free())
    }

    /// How many jobs are queued and have to wait for a thread.
    pub(super) fn queued(&self) -> usize {
        self.queued.len() - self.assigned()
    }

    /// How many callers wait for a place in the queue.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Threads that run no job, started or not.
    fn free(&self) -> usize {
        self.threads - self.crew.busy
    }

    fn has_room(&self) -> bool {
        self.queued.len() < self.places.saturating_add(self.free())
    }

    /// Whether anybody is in line, for a thread or for a place.
    fn stands(&self) -> bool {
        self.queued.len() > self.free() || !self.waiting.is_empty()
    }

    /// Makes sure that a thread comes for each job that a free one is there for.
    fn demand(&mut self) -> Signal {
        let jobs = self.assigned();
        let crew = &mut self.crew;
        if jobs <= crew.alive - crew.busy - crew.parked {
            Signal::Nothing
        } else if crew.parked > 0 {
            // Counted awake from here and not when it wakes, or the next submission would call the same one again and no other.
            crew.parked -= 1;
            crew.calls += 1;
            Signal::Wake
        } else {
            // Counted before it exists, or two submissions could start one thread too many.
            crew.alive += 1;
            Signal::Start
        }
    }

    /// Calls every thread that sleeps.
    fn call_all(&mut self) {
        self.crew.calls += self.crew.parked;
        self.crew.parked = 0;
    }

    /// Takes a job out that no thread has begun. A thread that comes for it takes another one, or sleeps again.
    fn remove(&mut self, ticket: Ticket) -> Option<Arc<dyn ErasedJob>> {
        let queued = self.queued.remove(&ticket).map(|queued| queued.job);
        let removed = queued.or_else(|| self.waiting.remove(&ticket))?;
        self.refill();
        Some(removed)
    }

    /// Notes that somebody is in line, and whether the line has been there for as long as the limit.
    fn note_standing(&mut self, now: Instant) {
        let since = *self.standing_since.get_or_insert(now);
        if self
            .limit
            .is_some_and(|limit| now.saturating_duration_since(since) >= limit)
        {
            self.overloaded = true;
        }
    }

    /// Gives room in the queue to the callers that wait for it.
    fn refill(&mut self) {
        while self.has_room()
            && let Some((ticket, job)) = self.waiting.pop_first()
        {
            self.queued.insert(
                ticket,
                Queued {
                    job,
                    limitless: false,
                },
            );
        }
        // Only an empty line ends an overload: at its limit the line would change its order with each job.
        if !self.stands() {
            self.overloaded = false;
            self.standing_since = None;
        }
    }
}
