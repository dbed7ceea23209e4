//! What the handles, the callers and the threads of one pool share.
//!
//! # Invariants
//!
//! 1. Every decision is taken under the one lock, by [`Schedule`]; what it asks for (waking, starting a
//!    thread, dropping a closure, firing a token) is done after the lock is released.
//! 2. A sleeper is called only when there is a job that no waking thread comes for.

use std::{
    borrow::Cow,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        PoisonError,
        // Only numbers: none of them decides anything that the model checker should try in another order.
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    Overload, PoolError, PoolStats,
    job::contain,
    lanes::Lane,
    lineage,
    recent::RecentDurations,
    schedule::{Admission, Phase, Schedule, Seat, Signal, Submitted},
    work::{Ending, Work},
    worker,
};
use crate::{
    CancelReason,
    sync::{Condvar, Mutex, MutexGuard, thread},
};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

pub(super) struct Shared {
    /// Tells pools apart.
    pub(super) id: u64,
    pub(super) name: Cow<'static, str>,
    pub(super) threads: usize,
    pub(super) overload: Overload,
    schedule: Mutex<Schedule>,
    /// Where regular threads sleep.
    base: Condvar,
    /// Where overflow threads sleep.
    overflow: Condvar,
    /// Told when a job of a draining or closed pool ends.
    ended: Notify,
    /// From submission to the start of the closure.
    pub(super) waits: RecentDurations,
    /// From the start of the closure to its end.
    pub(super) runs: RecentDurations,
    /// Number of the next thread, for its name.
    next_thread: AtomicU64,
}

impl Shared {
    pub(super) fn new(name: Cow<'static, str>, threads: usize, places: usize, overload: Overload) -> Self {
        let limit = match overload {
            Overload::ShedAfter(limit) => Some(limit),
            Overload::Wait | Overload::Shed => None,
        };
        Self {
            // Relaxed: only uniqueness matters.
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            name,
            threads,
            overload,
            schedule: Mutex::new(Schedule::new(threads, places, limit)),
            base: Condvar::new(),
            overflow: Condvar::new(),
            ended: Notify::new(),
            waits: RecentDurations::new(),
            runs: RecentDurations::new(),
            next_thread: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Schedule> {
        // Nothing of the user's runs under this lock, so a poisoned schedule is still whole.
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers a job; unless refused, it is then in the schedule or (`Inline`) to be run at once.
    pub(super) fn submit(
        self: &Arc<Self>,
        job: &Arc<dyn Work>,
        admission: Admission,
        now: Instant,
    ) -> Submitted {
        let (submitted, signal) = self.lock().submit(job, admission, now);
        match self.follow(signal) {
            Ok(()) => submitted,
            Err(error) => self.without_thread(job, signal, submitted, &error),
        }
    }

    /// Finds a thread for a job of this pool that one of its own threads waits for; `Inline` means the
    /// calling thread has to run it.
    pub(super) fn promote_here(self: &Arc<Self>, job: &Arc<dyn Work>) -> Submitted {
        let (submitted, signal) = self.lock().promote(&**job, true);
        match self.follow(signal) {
            Ok(()) => submitted,
            Err(error) => self.without_thread(job, signal, submitted, &error),
        }
    }

    /// The same for a job that another thread waits for; if that thread has to run it, it is woken.
    pub(super) fn promote_elsewhere(self: &Arc<Self>, job: &Arc<dyn Work>) {
        let (submitted, signal) = self.lock().promote(&**job, false);
        if submitted == Submitted::Inline || self.follow(signal).is_err() {
            job.nudge();
        }
    }

    /// A thread could not be started for a job that counts on it.
    fn without_thread(
        &self,
        job: &Arc<dyn Work>,
        signal: Signal,
        submitted: Submitted,
        error: &io::Error,
    ) -> Submitted {
        crate::log::say(|| tracing::warn!(pool = &*self.name, %error, "a thread pool cannot start a thread"));
        let mut schedule = self.lock();
        match signal {
            Signal::Start(Seat::Overflow) => match schedule.promote_to_caller(&**job) {
                true => Submitted::Inline,
                false => submitted,
            },
            // Other threads of the pool will come to it.
            _ if schedule.base.alive > 0 => submitted,
            _ => match schedule.withdraw(&**job) {
                true => Submitted::Refused(PoolError::Saturated),
                false => submitted,
            },
        }
    }

    /// Takes a job out of the queue because its caller has gone; true when no thread had it.
    pub(super) fn cancel(self: &Arc<Self>, job: &dyn Work) -> bool {
        let (removed, signal, ending) = {
            let mut schedule = self.lock();
            let (removed, signal) = schedule.cancel(job);
            (removed, signal, schedule.phase != Phase::Open)
        };
        self.after_removal(signal, ending);
        removed
    }

    /// Takes a job out of the queue because its time limit has passed; true when no thread had it.
    pub(super) fn expire(self: &Arc<Self>, job: &dyn Work) -> bool {
        let (removed, signal, ending) = {
            let mut schedule = self.lock();
            let (removed, signal) = schedule.expire(job);
            (removed, signal, schedule.phase != Phase::Open)
        };
        self.after_removal(signal, ending);
        removed
    }

    fn after_removal(self: &Arc<Self>, signal: Signal, ending: bool) {
        if let Err(error) = self.follow(signal) {
            crate::log::say(
                || tracing::warn!(pool = &*self.name, %error, "a thread pool cannot start a thread"),
            );
        }
        if ending {
            self.ended.notify_waiters();
        }
    }

    /// Runs a job that is counted as running; returns the next one for a regular or overflow thread.
    pub(super) fn execute(&self, job: Arc<dyn Work>, seat: Seat) -> Option<Arc<dyn Work>> {
        let mut next = None;
        let mut finished = false;
        contain("a job", || {
            lineage::running(self.id, job.clone(), || {
                job.execute(self, &mut |ending| {
                    finished = true;
                    next = self.finish(&*job, seat, ending);
                });
            });
        });
        if !finished {
            next = self.finish(&*job, seat, Ending::Completed);
        }
        next
    }

    /// Runs a job on this thread, which waits for it, inside a poll of that wait.
    pub(super) fn execute_inline(self: &Arc<Self>, job: &Arc<dyn Work>) {
        let mut begun = false;
        // Leaves the runtime's `block_on` that polls us, so that the closure may use one of its own.
        let ran = catch_unwind(AssertUnwindSafe(|| {
            tokio::task::block_in_place(|| {
                begun = true;
                self.execute(job.clone(), Seat::Inline);
            });
        }));
        let Err(payload) = ran else { return };
        if begun {
            resume_unwind(payload);
        }
        // A current-thread runtime is driven here and cannot be left: this thread waits while a stand-in
        // runs the closure, so there is still no more running at a time.
        let stand_in = thread::Builder::new().name(format!("{}-inline", self.name)).spawn({
            let (pool, job) = (self.clone(), job.clone());
            move || drop(pool.execute(job, Seat::Inline))
        });
        match stand_in {
            // The closure's panic went into the job; the thread itself does not panic.
            Ok(stand_in) => drop(stand_in.join()),
            Err(_) => drop(self.execute(job.clone(), Seat::Inline)),
        }
    }

    fn finish(&self, job: &dyn Work, seat: Seat, ending: Ending) -> Option<Arc<dyn Work>> {
        let (next, closing) = {
            let mut schedule = self.lock();
            schedule.finish(job, seat, ending);
            (schedule.take(seat), schedule.phase != Phase::Open)
        };
        if closing {
            self.ended.notify_waiters();
        }
        next
    }

    /// Waits for a job as a regular or overflow thread; none when the thread is to end. A thread that
    /// `lingers` lets others run once before it sleeps: it is likely to be needed again at once.
    pub(super) fn next(&self, seat: Seat, mut lingers: bool) -> Option<Arc<dyn Work>> {
        let sleep = if seat == Seat::Overflow { &self.overflow } else { &self.base };
        let mut schedule = self.lock();
        loop {
            if let Some(job) = schedule.take(seat) {
                return Some(job);
            }
            if schedule.is_ending() {
                schedule.crew(seat).alive -= 1;
                return None;
            }
            if std::mem::take(&mut lingers) {
                // Not parked, so nobody pays for waking this thread meanwhile.
                drop(schedule);
                thread::yield_now();
                schedule = self.lock();
                continue;
            }
            schedule.crew(seat).parked += 1;
            loop {
                let timed_out;
                (schedule, timed_out) = worker::sleep(sleep, schedule, seat);
                let crew = schedule.crew(seat);
                if crew.calls > 0 {
                    crew.calls -= 1;
                    break;
                }
                if timed_out {
                    crew.parked -= 1;
                    crew.alive -= 1;
                    return None;
                }
            }
        }
    }

    /// Does what the schedule asked for.
    fn follow(self: &Arc<Self>, signal: Signal) -> io::Result<()> {
        match signal {
            Signal::Nothing => {}
            Signal::Wake(Seat::Overflow) => self.overflow.notify_one(),
            Signal::Wake(_) => self.base.notify_one(),
            Signal::Start(seat) => {
                // Relaxed: only uniqueness matters.
                let number = self.next_thread.fetch_add(1, Ordering::Relaxed);
                let pool = self.clone();
                let started = thread::Builder::new()
                    .name(format!("{}-{number}", self.name))
                    .spawn(move || worker::run(&pool, seat));
                if let Err(error) = started {
                    self.lock().crew(seat).alive -= 1;
                    return Err(error);
                }
            }
        }
        Ok(())
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
            (schedule.close(), schedule.lanes.jobs(Lane::Running))
        };
        self.refuse(refused);
        for job in running {
            job.head().cancel(CancelReason::Shutdown);
        }
    }

    fn refuse(&self, jobs: Vec<Arc<dyn Work>>) {
        // Threads that sleep are to end.
        self.base.notify_all();
        self.overflow.notify_all();
        for job in jobs {
            job.refuse(PoolError::Closed);
        }
        self.ended.notify_waiters();
    }

    /// Has the threads end once the accepted work is done.
    pub(super) fn orphan(&self) {
        self.lock().orphan();
        self.base.notify_all();
        self.overflow.notify_all();
    }

    /// Waits until no job of a draining or closed pool is left, except those that run on this thread.
    pub(super) async fn wait_until_idle(&self) {
        let own = lineage::running_here(self.id);
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
        self.lock().lanes.len(Lane::Running)
    }

    pub(super) fn stats(&self) -> PoolStats {
        let (mut stats, running) = {
            let schedule = self.lock();
            let lanes = &schedule.lanes;
            let stats = PoolStats {
                threads: self.threads,
                running: lanes.len(Lane::Running) + lanes.len(Lane::Assigned) + lanes.len(Lane::Overflow),
                queued: lanes.len(Lane::Queue),
                waiting: lanes.len(Lane::Waiting),
                overflow_threads: schedule.overflow.busy,
                wait_p50: Duration::ZERO,
                wait_p95: Duration::ZERO,
                run_p50: Duration::ZERO,
                run_p95: Duration::ZERO,
                completed: schedule.completed,
                shed: schedule.shed,
                cancelled: schedule.cancelled,
                oldest_running: None,
            };
            (stats, lanes.jobs(Lane::Running))
        };
        let now = Instant::now();
        stats.wait_p50 = self.waits.percentile(0.5);
        stats.wait_p95 = self.waits.percentile(0.95);
        stats.run_p50 = self.runs.percentile(0.5);
        stats.run_p95 = self.runs.percentile(0.95);
        let oldest = running.iter().filter_map(|job| job.head().started()).min();
        stats.oldest_running = oldest.map(|started| now.saturating_duration_since(started));
        stats
    }
}
