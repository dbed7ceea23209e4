//! The threads of one pool, and what they share with its handles and callers.
//!
//! # Invariants
//!
//! 1. Every decision is taken under the one lock, by [`Schedule`]; what it asks for (waking, starting a
//!    thread, dropping a closure, firing a token) is done after the lock is released.
//! 2. A sleeper is called only when there is a job that no waking thread comes for. A call is counted before the lock is
//!    released, so none is lost and a wake without a call goes back to sleep.
//! 3. Nobody but the thread that has begun a job runs, counts and settles it, in this order.

use std::{
    borrow::Cow,
    io,
    panic::{Location, resume_unwind},
    sync::{
        Arc,
        OnceLock,
        PoisonError,
        // Only numbers: none of them decides anything that the model checker should try in another order.
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    error::PoolError,
    job::{ErasedJob, contain},
    nesting,
    overload::Overload,
    recent::RecentDurations,
    schedule::{Begun, PoolPhase, Schedule, Signal, Submitted, Ticket, WhenBusy},
    stats::PoolStats,
};
use crate::{
    cancel::CancelReason,
    panics::caught,
    sync::{Condvar, Mutex, MutexGuard, thread},
    work::{
        WorkKind,
        alive::{Census, CensusEntry, LongLived},
        concurrent::ConcurrentWork,
        observed::{New, Parent},
    },
};

/// The pools that are alive and have worked.
pub(crate) static ALIVE: Census<dyn LongLived<Stats = PoolStats>> = Census::new();

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

pub(super) struct Threads {
    /// Tells pools apart.
    id: u64,
    pub(super) name: Cow<'static, str>,
    /// Its name for those who look: if none was given, the place where it was made.
    label: Cow<'static, str>,
    /// On the list of the living, from the first job on.
    entry: OnceLock<CensusEntry<dyn LongLived<Stats = PoolStats>>>,
    threads: usize,
    pub(super) overload: Overload,
    schedule: Mutex<Schedule>,
    /// Where threads sleep.
    called: Condvar,
    /// Told when a job of a draining or closed pool ends and none is left but some that run.
    ended: Notify,
    /// From submission to the start of the closure.
    waits: RecentDurations,
    /// From the start of the closure to its end.
    runs: RecentDurations,
    /// Number of the next thread, for its name.
    next_thread: AtomicU64,
}

impl Threads {
    pub(super) fn new(
        name: Option<Cow<'static, str>>,
        made_at: &'static Location<'static>,
        threads: usize,
        places: usize,
        overload: Overload,
    ) -> Self {
        let limit = match overload {
            Overload::ShedAfter(limit) => Some(limit),
            Overload::Wait | Overload::Shed => None,
        };
        Self {
            // Relaxed: only uniqueness matters.
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            label: name.clone().unwrap_or_else(|| made_at.to_string().into()),
            name: name.unwrap_or(Cow::Borrowed("pool")),
            entry: OnceLock::new(),
            threads,
            overload,
            schedule: Mutex::new(Schedule::new(threads, places, limit)),
            called: Condvar::new(),
            ended: Notify::new(),
            waits: RecentDurations::new(),
            runs: RecentDurations::new(),
            next_thread: AtomicU64::new(0),
        }
    }

    /// Says that a job is made.
    pub(super) fn announce(
        self: &Arc<Self>,
        made_at: &'static Location<'static>,
    ) -> ConcurrentWork {
        self.entry.get_or_init(|| {
            let pool: Arc<dyn LongLived<Stats = PoolStats>> = self.clone();
            ALIVE.enter(Arc::downgrade(&pool))
        });
        ConcurrentWork::made(|| New {
            id: None,
            parent: Parent::Current,
            kind: WorkKind::PoolJob,
            name: None,
            owner: Some(&self.label),
            made_at: Some(made_at),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Schedule> {
        // Nothing of the user's runs under this lock, so a poisoned schedule is still whole.
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers a job; unless refused, it is then in the schedule or (`Inline`) to be run at once.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub(super) fn submit(
        self: &Arc<Self>,
        job: &Arc<dyn ErasedJob>,
        admission: WhenBusy,
        now: Instant,
    ) -> Result<(Ticket, Submitted), PoolError> {
        // What the schedule asks for is done without its lock: starting a thread takes long, and a woken one needs the lock.
        let (submitted, signal) = self.lock().submit(job, admission, now);
        let (Ok((ticket, _)), Err(error)) = (submitted, self.follow(signal)) else {
            return submitted;
        };
        crate::log::say(
            || tracing::warn!(pool = &*self.name, %error, "a thread pool cannot start a thread"),
        );
        let mut schedule = self.lock();
        if admission == WhenBusy::Nested {
            // The threads that there are may all wait for jobs like this one.
            if schedule.take_over(ticket) {
                Ok((ticket, Submitted::Inline))
            } else {
                submitted
            }
        } else if schedule.crew.alive == 0 && schedule.withdraw(ticket) {
            Err(PoolError::Saturated)
        } else {
            // Other threads of the pool will come to it.
            submitted
        }
    }

    /// Does what the schedule asked for.
    fn follow(self: &Arc<Self>, signal: Signal) -> io::Result<()> {
        match signal {
            Signal::Nothing => {}
            Signal::Wake => self.called.notify_one(),
            Signal::Start => {
                // Relaxed: only uniqueness matters.
                let number = self.next_thread.fetch_add(1, Ordering::Relaxed);
                let pool = self.clone();
                let started = thread::Builder::new()
                    .name(format!("{}-{number}", self.name))
                    .spawn(move || pool.work());
                if let Err(error) = started {
                    // Else jobs would be promised to a thread that never comes.
                    self.lock().crew.alive -= 1;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// The life of one thread.
    fn work(&self) {
        let mut next = None;
        let mut in_a_row = 0_usize;
        // Only after a run of jobs: a lone caller's next job is too far away, and the wait would delay the caller.
        while let Some(begun) = next
            .take()
            .or_else(|| self.next(std::mem::take(&mut in_a_row) > 1))
        {
            in_a_row += 1;
            next = self.run(&begun, false);
        }
    }

    /// Waits for a job; none when the thread is to end. A thread that `lingers` lets others run once before it
    /// sleeps: it is likely to be needed again at once.
    fn next(&self, mut lingers: bool) -> Option<Begun> {
        let mut schedule = self.lock();
        loop {
            // Jobs before the end: what was accepted is done even if no handle is left.
            if let Some(begun) = schedule.take() {
                return Some(begun);
            }
            if schedule.is_ending() {
                schedule.crew.alive -= 1;
                return None;
            }
            if std::mem::take(&mut lingers) {
                // Not parked, so nobody pays for waking this thread meanwhile.
                drop(schedule);
                thread::yield_now();
                schedule = self.lock();
                continue;
            }
            // Under the lock of the look above, so whoever submits in between knows that this one has to be called. Only a
            // count wakes it (invariant 2): the condition variable may wake it for nothing, or another in its place.
            schedule.crew.parked += 1;
            while schedule.crew.calls == 0 {
                schedule = self
                    .called
                    .wait(schedule)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            schedule.crew.calls -= 1;
        }
    }

    /// Runs a job that is counted as running, of this thread or (`inline`) of one that waits for it; returns the next one
    /// for a thread of the pool.
    fn run(&self, begun: &Begun, inline: bool) -> Option<Begun> {
        let ran = nesting::running(self.id, || begun.job.run(begun.limitless));
        // Before the job is counted: whoever has seen it complete is to see its times as well.
        if let Some((waited, took)) = ran.times {
            self.waits.record(waited);
            self.runs.record(took);
        }
        // Counted before the caller can see it, and the next job taken under the same lock: a thread that looks for one
        // is free only in between.
        let (next, ended) = {
            let mut schedule = self.lock();
            schedule.finish(begun.ticket, ran.ending, inline);
            let next = if inline { None } else { schedule.take() };
            (
                next,
                schedule.phase != PoolPhase::Open && schedule.only_runs(),
            )
        };
        if ended {
            self.ended.notify_waiters();
        }
        // After the count, or its caller could read numbers without it.
        begun.job.settle();
        // After the caller was woken: it may hold the caller's paused clock.
        contain("the span", || drop(ran.caller));
        next
    }

    /// Runs a job on this thread, which waits for it, unless a thread has it or comes for it; true when it has run.
    pub(super) fn take_over(&self, job: &Arc<dyn ErasedJob>, ticket: Ticket) -> bool {
        let taken = self.lock().take_over(ticket);
        if taken {
            self.run_here(job, ticket);
        }
        taken
    }

    /// Runs a job on this thread, which waits for it, inside a poll of that wait.
    pub(super) fn run_here(&self, job: &Arc<dyn ErasedJob>, ticket: Ticket) {
        let begun = Begun {
            ticket,
            job: job.clone(),
            limitless: true,
        };
        let mut left = false;
        // Leaves the runtime's `block_on` that polls us, so that the closure may use one of its own.
        let ran = caught(|| {
            tokio::task::block_in_place(|| {
                left = true;
                self.run(&begun, true);
            });
        });
        let Err(payload) = ran else { return };
        if left {
            resume_unwind(payload);
        }
        // A current-thread runtime is driven here and cannot be left: this thread waits while a stand-in
        // runs the closure, so there is still no more running at a time.
        std::thread::scope(|scope| {
            let stand_in = std::thread::Builder::new().name(format!("{}-inline", self.name));
            if stand_in
                .spawn_scoped(scope, || self.run(&begun, true))
                .is_err()
            {
                self.run(&begun, true);
            }
        });
    }

    /// Takes a job out of the queue because its caller has gone; true when no thread had it.
    pub(super) fn cancel(&self, ticket: Ticket) -> bool {
        self.remove(|schedule| schedule.cancel(ticket))
    }

    /// Takes a job out of the queue because its time limit has passed; true when no thread had it.
    pub(super) fn expire(&self, ticket: Ticket) -> bool {
        self.remove(|schedule| schedule.expire(ticket))
    }

    fn remove(&self, remove: impl FnOnce(&mut Schedule) -> bool) -> bool {
        let (removed, ended) = {
            let mut schedule = self.lock();
            (
                remove(&mut schedule),
                schedule.phase != PoolPhase::Open && schedule.only_runs(),
            )
        };
        if removed && ended {
            self.ended.notify_waiters();
        }
        removed
    }

    /// Stops taking new work; those who wait for a place get `Closed`.
    pub(super) fn drain(&self) {
        let refused = self.lock().drain();
        self.refuse(refused);
    }

    /// Stops taking work, drops what has not begun and tells the rest to stop.
    pub(super) fn close(&self) {
        let (refused, running) = {
            let mut schedule = self.lock();
            (schedule.close(), schedule.running_jobs())
        };
        self.refuse(refused);
        // A token's waker is code of others, so it is fired without the lock. A job that has ended meanwhile does not mind.
        for job in running {
            contain("a token's waker", || job.cancel(CancelReason::Shutdown));
        }
    }

    fn refuse(&self, jobs: Vec<Arc<dyn ErasedJob>>) {
        // Threads that sleep are to end.
        self.called.notify_all();
        let ended = !jobs.is_empty();
        for job in jobs {
            job.refuse(PoolError::Closed);
        }
        if ended {
            self.ended.notify_waiters();
        }
    }

    /// Has the threads end once the accepted work is done.
    pub(super) fn orphan(&self) {
        self.lock().orphan();
        self.called.notify_all();
    }

    /// Waits until no job of a draining or closed pool is left, except those that run on this thread.
    pub(super) async fn wait_until_idle(&self) {
        let own = nesting::running_here(self.id);
        loop {
            // Made before the look: an end in between reaches it although it was not polled yet.
            let ended = self.ended.notified();
            if self.lock().jobs() <= own {
                return;
            }
            ended.await;
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.lock().jobs() == 0
    }

    pub(super) fn running(&self) -> usize {
        self.lock().running()
    }
}

impl LongLived for Threads {
    type Stats = PoolStats;

    fn name(&self) -> Cow<'static, str> {
        self.label.clone()
    }

    fn stats(&self) -> PoolStats {
        let (mut stats, running) = {
            let schedule = self.lock();
            let stats = PoolStats {
                threads: self.threads,
                running: schedule.running() + schedule.assigned(),
                queued: schedule.queued(),
                waiting: schedule.waiting(),
                wait_p50: Duration::ZERO,
                wait_p95: Duration::ZERO,
                run_p50: Duration::ZERO,
                run_p95: Duration::ZERO,
                completed: schedule.completed,
                shed: schedule.shed,
                cancelled: schedule.cancelled,
                oldest_running: None,
            };
            (stats, schedule.running_jobs())
        };
        let now = Instant::now();
        stats.wait_p50 = self.waits.percentile(0.5);
        stats.wait_p95 = self.waits.percentile(0.95);
        stats.run_p50 = self.runs.percentile(0.5);
        stats.run_p95 = self.runs.percentile(0.95);
        let oldest = running.iter().filter_map(|job| job.started()).min();
        stats.oldest_running = oldest.map(|started| now.saturating_duration_since(started));
        stats
    }
}
