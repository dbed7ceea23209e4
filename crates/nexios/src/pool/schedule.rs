//! Which job goes where: admission, order, thread demand, and the counts.
//!
//! Plain data under the pool's lock. It never runs, drops or wakes anything of the user's: it says what
//! to do and the callers do it after the lock is released.
//!
//! # Invariants
//!
//! 1. `base.busy + assigned <= threads`: each assigned job has a regular thread that is not busy.
//! 2. `overflow.busy + overflow lane <= threads`: the same for nested jobs and overflow threads.
//! 3. While a regular thread is free, no job is queued; while the queue has a place, no caller waits.
//! 4. Every job in `Queue` is older than every job in `Waiting`.
//! 5. A job leaves through exactly one of `finish`, `remove`, `refuse` or a refusal of `submit`, and is
//!    counted there.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    PoolError,
    lanes::{Lane, Lanes},
    work::{Ending, Work},
};

/// Whether new work is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Phase {
    Open,
    /// Only nested jobs of accepted ones.
    Draining,
    Closed,
}

/// Who runs a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// A regular thread.
    Base,
    /// A thread that exists because others are blocked by nested jobs.
    Overflow,
    /// The thread that waits for the job.
    Inline,
}

/// How a submission is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Admission {
    /// From outside; `wait` allows to stand in line for a place in the queue.
    Plain { wait: bool },
    /// By a thread that must not wait for a place, and runs the job itself if need be.
    Nested,
    /// As `Nested`, but it would rather have its closure back than run it.
    NestedTry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Submitted {
    /// A thread is on its way; no time limit applies.
    Assigned,
    /// In the queue, or in line for it.
    Queued,
    /// Counted as running: the caller's thread has to run it now.
    Inline,
    Refused(PoolError),
}

/// What to do for threads after the lock is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Signal {
    Nothing,
    Wake(Seat),
    Start(Seat),
}

/// Threads of one kind. `alive - busy - parked` of them are about to look for a job.
#[derive(Default)]
pub(super) struct Crew {
    /// Started, or about to be, and not ended.
    pub(super) alive: usize,
    /// Running a job.
    pub(super) busy: usize,
    /// Asleep and not called.
    pub(super) parked: usize,
    /// Calls that no sleeper has answered yet.
    pub(super) calls: usize,
}

impl Crew {
    /// Makes sure that a thread comes for each of `jobs`.
    fn demand(&mut self, jobs: usize, seat: Seat) -> Signal {
        if jobs <= self.alive - self.busy - self.parked {
            Signal::Nothing
        } else if self.parked > 0 {
            self.parked -= 1;
            self.calls += 1;
            Signal::Wake(seat)
        } else {
            self.alive += 1;
            Signal::Start(seat)
        }
    }

    fn call_all(&mut self) {
        self.calls += self.parked;
        self.parked = 0;
    }
}

pub(super) struct Schedule {
    /// Where each job is.
    pub(super) lanes: Lanes,
    /// The regular threads.
    pub(super) base: Crew,
    /// The threads that exist because others are blocked.
    pub(super) overflow: Crew,
    /// Whether new work is taken; only ever moves forward.
    pub(super) phase: Phase,
    /// No handle is left; the threads end when there is nothing to do.
    orphaned: bool,
    /// A caller has reached the time limit since the queue was last empty, or the queue has not been empty
    /// for that long: newest first.
    overloaded: bool,
    /// The time limit of `ShedAfter`.
    limit: Option<Duration>,
    /// Since when somebody is queued or waiting, on the clock of whoever came first.
    standing_since: Option<Instant>,
    /// Regular threads at most, and overflow threads at most.
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
            lanes: Lanes::new(),
            base: Crew::default(),
            overflow: Crew::default(),
            phase: Phase::Open,
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
        job: &Arc<dyn Work>,
        admission: Admission,
        now: Instant,
    ) -> (Submitted, Signal) {
        let nested = !matches!(admission, Admission::Plain { .. });
        if self.phase == Phase::Closed || (self.phase == Phase::Draining && !nested) {
            self.cancelled += 1;
            return (Submitted::Refused(PoolError::Closed), Signal::Nothing);
        }
        if self.base.busy + self.lanes.len(Lane::Assigned) < self.threads {
            job.head().set_limitless();
            self.lanes.push(job.clone(), Lane::Assigned);
            return (Submitted::Assigned, self.base.demand(self.lanes.len(Lane::Assigned), Seat::Base));
        }
        let has_place = self.lanes.len(Lane::Queue) < self.places;
        if has_place && !matches!(admission, Admission::Nested) {
            self.lanes.push(job.clone(), Lane::Queue);
            self.note_standing(now);
            return (Submitted::Queued, Signal::Nothing);
        }
        if nested && self.overflow.busy + self.lanes.len(Lane::Overflow) < self.threads {
            job.head().set_limitless();
            self.lanes.push(job.clone(), Lane::Overflow);
            let jobs = self.lanes.len(Lane::Overflow);
            return (Submitted::Assigned, self.overflow.demand(jobs, Seat::Overflow));
        }
        match admission {
            Admission::Nested => {
                job.head().set_limitless();
                self.lanes.push(job.clone(), Lane::Running);
                (Submitted::Inline, Signal::Nothing)
            }
            Admission::Plain { wait: true } => {
                self.lanes.push(job.clone(), Lane::Waiting);
                self.note_standing(now);
                (Submitted::Queued, Signal::Nothing)
            }
            Admission::Plain { wait: false } | Admission::NestedTry => {
                self.shed += 1;
                (Submitted::Refused(PoolError::Saturated), Signal::Nothing)
            }
        }
    }

    /// Gives a job that turned out to be waited for by a thread of this pool a way to run: an overflow
    /// thread, or the thread that polls it (`Inline`, counted as running only if that is `here`).
    pub(super) fn promote(&mut self, job: &dyn Work, here: bool) -> (Submitted, Signal) {
        if !matches!(self.lanes.lane_of(job), Some(Lane::Queue | Lane::Waiting)) {
            return (Submitted::Assigned, Signal::Nothing);
        }
        let place = job.head().place();
        if self.overflow.busy + self.lanes.len(Lane::Overflow) < self.threads {
            job.head().set_limitless();
            self.lanes.shift(place, Lane::Overflow);
            let signal = self.overflow.demand(self.lanes.len(Lane::Overflow), Seat::Overflow);
            self.refill_places();
            return (Submitted::Assigned, signal);
        }
        if here {
            job.head().set_limitless();
            self.lanes.shift(place, Lane::Running);
            self.refill_places();
        }
        (Submitted::Inline, Signal::Nothing)
    }

    /// Takes a nested job away from the overflow threads and counts it as running; true when they had not
    /// begun it.
    pub(super) fn promote_to_caller(&mut self, job: &dyn Work) -> bool {
        let waits = self.lanes.lane_of(job) == Some(Lane::Overflow);
        if waits {
            self.lanes.shift(job.head().place(), Lane::Running);
        }
        waits
    }

    /// The next job for a thread that is not busy; the thread counts as busy from here.
    pub(super) fn take(&mut self, seat: Seat) -> Option<Arc<dyn Work>> {
        let place = match seat {
            Seat::Base => self
                .lanes
                .oldest(Lane::Assigned)
                .or_else(|| self.lanes.oldest(Lane::Overflow))
                .or_else(|| self.next_queued())?,
            Seat::Overflow => self.lanes.oldest(Lane::Overflow)?,
            Seat::Inline => return None,
        };
        let job = self.lanes.job(place)?.clone();
        self.lanes.shift(place, Lane::Running);
        self.crew(seat).busy += 1;
        self.refill_places();
        Some(job)
    }

    /// Counts a job whose closure has ended; a thread (not `Inline`) is free from here.
    pub(super) fn finish(&mut self, job: &dyn Work, seat: Seat, ending: Ending) {
        if self.lanes.remove(job.head().place()).is_none() {
            return;
        }
        match ending {
            Ending::Completed => self.completed += 1,
            Ending::Cancelled => self.cancelled += 1,
            Ending::TooLate => {
                self.shed += 1;
                self.overloaded = true;
            }
        }
        if seat != Seat::Inline {
            self.crew(seat).busy -= 1;
        }
    }

    /// Takes out a job whose caller has gone, unless a thread has it; true when it was taken out.
    pub(super) fn cancel(&mut self, job: &dyn Work) -> (bool, Signal) {
        if matches!(self.lanes.lane_of(job), None | Some(Lane::Running)) {
            return (false, Signal::Nothing);
        }
        self.lanes.remove(job.head().place());
        self.cancelled += 1;
        (true, self.refill())
    }

    /// Takes out a job whose time limit has passed, unless a thread has it or is on its way to it.
    pub(super) fn expire(&mut self, job: &dyn Work) -> (bool, Signal) {
        if job.head().is_limitless() || matches!(self.lanes.lane_of(job), None | Some(Lane::Running)) {
            return (false, Signal::Nothing);
        }
        self.lanes.remove(job.head().place());
        self.shed += 1;
        self.overloaded = true;
        (true, self.refill())
    }

    /// Takes out a job for which no thread could be started, unless a thread has it.
    pub(super) fn withdraw(&mut self, job: &dyn Work) -> bool {
        if matches!(self.lanes.lane_of(job), None | Some(Lane::Running)) {
            return false;
        }
        self.lanes.remove(job.head().place());
        self.shed += 1;
        true
    }

    /// Stops taking new work from outside; returns the jobs whose callers wait for a place.
    pub(super) fn drain(&mut self) -> Vec<Arc<dyn Work>> {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining;
        }
        self.call_all_to_end();
        self.clear(&[Lane::Waiting])
    }

    /// Stops taking work; returns the jobs that no thread has begun.
    pub(super) fn close(&mut self) -> Vec<Arc<dyn Work>> {
        self.phase = Phase::Closed;
        self.call_all_to_end();
        self.clear(&[Lane::Assigned, Lane::Overflow, Lane::Queue, Lane::Waiting])
    }

    /// Notes that no handle is left.
    pub(super) fn orphan(&mut self) {
        self.orphaned = true;
        self.call_all_to_end();
    }

    /// Whether threads without a job end.
    pub(super) fn is_ending(&self) -> bool {
        self.orphaned || self.phase != Phase::Open
    }

    /// How many jobs have not ended.
    pub(super) fn jobs(&self) -> usize {
        [Lane::Assigned, Lane::Overflow, Lane::Queue, Lane::Waiting, Lane::Running]
            .into_iter()
            .map(|lane| self.lanes.len(lane))
            .sum()
    }

    pub(super) fn crew(&mut self, seat: Seat) -> &mut Crew {
        match seat {
            Seat::Overflow => &mut self.overflow,
            Seat::Base | Seat::Inline => &mut self.base,
        }
    }

    fn call_all_to_end(&mut self) {
        self.base.call_all();
        self.overflow.call_all();
    }

    fn clear(&mut self, lanes: &[Lane]) -> Vec<Arc<dyn Work>> {
        let mut removed = Vec::new();
        for &lane in lanes {
            while let Some(job) = self.lanes.oldest(lane).and_then(|place| self.lanes.remove(place)) {
                removed.push(job);
            }
        }
        self.cancelled += removed.len() as u64;
        removed
    }

    /// Notes that somebody is in line, and whether the line has been there for as long as the limit.
    fn note_standing(&mut self, now: Instant) {
        let since = *self.standing_since.get_or_insert(now);
        if self.limit.is_some_and(|limit| now.saturating_duration_since(since) >= limit) {
            self.overloaded = true;
        }
    }

    /// The queued job that is served next: the oldest, or under overload the newest.
    fn next_queued(&self) -> Option<usize> {
        if self.overloaded {
            self.lanes.newest(Lane::Waiting).or_else(|| self.lanes.newest(Lane::Queue))
        } else {
            self.lanes.oldest(Lane::Queue).or_else(|| self.lanes.oldest(Lane::Waiting))
        }
    }

    /// Restores invariant 3 after a job was taken out: at most one regular thread has lost its job.
    fn refill(&mut self) -> Signal {
        let mut signal = Signal::Nothing;
        if self.base.busy + self.lanes.len(Lane::Assigned) < self.threads
            && let Some(place) = self.next_queued()
        {
            self.lanes.shift(place, Lane::Assigned);
            signal = self.base.demand(self.lanes.len(Lane::Assigned), Seat::Base);
        }
        self.refill_places();
        signal
    }

    /// Gives free places of the queue to the callers that wait for one.
    fn refill_places(&mut self) {
        while self.lanes.len(Lane::Queue) < self.places
            && let Some(place) = self.lanes.oldest(Lane::Waiting)
        {
            self.lanes.shift(place, Lane::Queue);
        }
        if self.lanes.is_empty(Lane::Queue) && self.lanes.is_empty(Lane::Waiting) {
            self.overloaded = false;
            self.standing_since = None;
        }
    }
}
