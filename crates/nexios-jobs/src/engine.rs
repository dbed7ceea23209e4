//! What a store of jobs has to do: keep them, hand them out, and write how they ended.
//!
//! An [`Engine`] knows no handler, no policy and no token. It keeps rows, and each of its calls is one step that is done or
//! not done: whoever calls decides what an attempt's end means ([`End`]), the engine writes it. The rules that all engines
//! hold, and that the suite in `tests/suite` checks on each of them:
//!
//! 1. **A run is fenced.** [`claim`](Engine::claim) gives each start of a job a [`Run`] of its own. Everything that is said of a
//!    run later is written only if the job is still in that run, checked in the statement that writes.
//! 2. **An attempt counts when it starts.** `claim` raises the number; only an end that [does not count](crate::AttemptEnd::counts)
//!    lowers it.
//! 3. **A cancelled job does not come back.** Where a cancel was asked for, every end but `Completed` is written as `Cancelled`.
//! 4. **A job belongs to a worker that is heard of.** [`renew`](Engine::renew) says that ours lives, and takes the jobs of those
//!    away that have been silent for a lease: back to the waiting, or `Dead` if that was their last attempt.
//! 5. **A call ends.** It waits for an absent or locked database no longer than the store's patience, and is then
//!    [`JobsError::Unavailable`]. Dropping its future does not stop half of it.
//! 6. **Nothing of an engine runs on a thread that runs handlers**, so that a handler that holds its thread holds up neither
//!    the lease nor a transaction ([`Engine::spawn`]).

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod attendant;
pub(crate) mod changes;
mod end;
pub(crate) mod memory;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod outcome;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod patience;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod settings;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod stored;

use std::{
    borrow::Cow,
    fmt,
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;

use crate::{
    clock::{millis, to_millis},
    error::JobsError,
    filter::Filter,
    id::JobId,
    info::{JobInfo, JobPage},
    progress::JobProgress,
    state::JobState,
    transaction::Connection,
};

use changes::Changes;
pub(crate) use end::{Cause, End};

/// What a call of an engine returns.
pub(crate) type Reply<'a, T> = BoxFuture<'a, Result<T, JobsError>>;

/// How long an ended job stays readable that no worker has ever had, so that no policy says it.
pub(crate) const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// What becomes of an attempt whose worker was lost.
pub(crate) const LOST: &str = "its worker was lost";

/// How many attempts of a job are remembered.
pub(crate) const HISTORY: usize = 20;

pub(crate) trait Engine: fmt::Debug + Send + Sync + 'static {
    // Enqueuing.

    /// Writes new jobs, all or none, in one round trip. Where a living job of the kind has the key, that one is returned.
    fn add(&self, jobs: Vec<NewJob>) -> Reply<'_, Vec<Added>>;
    /// The same for one job, in somebody else's transaction; [`JobsError::WrongDatabase`] if it is another engine's.
    fn add_in<'a>(&'a self, transaction: Connection<'a>, job: NewJob) -> Reply<'a, Added>;

    // Looking.

    fn get(&self, id: JobId) -> Reply<'_, Option<JobInfo>>;
    fn list(&self, filter: Filter) -> Reply<'_, JobPage>;

    // Changing; false if there was nothing to change.

    /// Ends a waiting job; asks for the cancel of a running one, of which its worker hears by `news`.
    fn cancel(&self, id: JobId) -> Reply<'_, bool>;
    fn retry(&self, id: JobId) -> Reply<'_, bool>;
    fn delete(&self, id: JobId) -> Reply<'_, bool>;
    /// Deletes the ended jobs whose time to keep is over, a bounded number in one transaction.
    fn prune(&self) -> Reply<'_, u64>;
    fn set_paused(&self, kind: Cow<'static, str>, paused: bool) -> Reply<'_, ()>;

    // Working.

    /// Makes a worker known; from now on it may claim, until it is not heard of for a lease.
    fn enroll(&self, worker: Worker) -> Reply<'_, ()>;
    /// Says that the worker lives, and takes the jobs of lost ones away.
    fn renew(&self, worker: WorkerId) -> Reply<'_, Renewal>;
    /// Forgets a worker that has nothing any more. One that still has something is left to be lost.
    fn retire(&self, worker: WorkerId) -> Reply<'_, ()>;
    /// Starts waiting jobs: at most so many of each kind, the smallest priority first, then the earliest time. None of
    /// paused kinds, and none for a worker that is not known (any more).
    fn claim(&self, worker: Worker, wanted: Vec<Wanted>) -> Reply<'_, Claimed>;
    /// Writes how runs ended, and claims in the same step: a commit is what a busy worker spends most of its time with.
    fn finish(&self, ended: Vec<Ended>, worker: Worker, wanted: Vec<Wanted>)
    -> Reply<'_, Finished>;
    /// The runs of a worker that it does not know of: their claim was written, but its answer was lost. They can start now.
    fn recall(&self, worker: WorkerId, known: Vec<Run>) -> Reply<'_, Vec<ClaimedJob>>;
    /// Writes how far running jobs are, and returns those runs of this worker whose cancel was asked for.
    fn news(&self, worker: WorkerId, progress: Vec<RunProgress>) -> Reply<'_, Vec<Run>>;

    // Cron and signals.

    /// Enqueues a job for one time of a schedule, unless somebody has done so.
    fn tick(&self, tick: Tick, job: NewJob) -> Reply<'_, bool>;
    fn signal(&self, name: Cow<'static, str>) -> Reply<'_, ()>;
    /// A number that grows with every signal of this name.
    fn signal_count(&self, name: Cow<'static, str>) -> Reply<'_, i64>;

    // About itself.

    /// The database's clock; asked ten times a second, so that it must cost no more than a look.
    fn now(&self) -> Reply<'_, SystemTime>;
    /// Tells when something may have changed, by whatever process.
    fn changes(&self) -> &Changes;
    /// How long a worker that is not heard of keeps its jobs; `None` if it cannot be lost.
    fn lease(&self) -> Option<Duration>;
    /// Runs a task where no handler can hold it up.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// The beginning of the idempotency keys of this store's jobs.
    fn name(&self) -> &str;
}

/// A job to be enqueued.
#[derive(Debug, Clone)]
pub(crate) struct NewJob {
    pub(crate) kind: Cow<'static, str>,
    /// JSON.
    pub(crate) args: String,
    pub(crate) key: Option<String>,
    pub(crate) when: When,
    pub(crate) priority: i16,
    /// Who enqueued it.
    pub(crate) origin: Option<String>,
}

/// When a job may start.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    At(SystemTime),
    /// From now on the database's clock.
    After(Duration),
}

impl When {
    /// In milliseconds since 1970.
    pub(crate) fn moment(self, now: i64) -> i64 {
        match self {
            Self::At(time) => to_millis(time),
            Self::After(delay) => now.saturating_add(millis(delay)),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Added {
    pub(crate) id: JobId,
    pub(crate) was_new: bool,
}

/// The number of a worker, drawn at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct WorkerId(pub(crate) i64);

/// The workers of one process, from when they are enrolled until their lease is lost.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) host: String,
    pub(crate) pid: u32,
}

/// What a renewed lease brought to light.
#[derive(Debug, Default)]
pub(crate) struct Renewal {
    /// The worker was itself given up: its jobs are others'.
    pub(crate) lost: bool,
    /// Jobs of lost workers, which were taken away from them.
    pub(crate) recovered: Vec<RecoveredJob>,
}

#[derive(Debug)]
pub(crate) struct RecoveredJob {
    pub(crate) id: JobId,
    pub(crate) kind: String,
    /// The one that was lost.
    pub(crate) attempt: u32,
    /// Waits for its next attempt, is `Dead` if its attempts are spent, or `Cancelled` if that was asked for.
    pub(crate) state: JobState,
}

/// Jobs of one kind that a worker would take.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) kind: Cow<'static, str>,
    pub(crate) slots: usize,
    /// From the policy, kept with the job: whoever finds its worker lost may not know the kind.
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres")),
        expect(dead_code, reason = "in memory no worker is lost")
    )]
    pub(crate) attempts: u32,
    /// The same.
    pub(crate) keep: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Claimed {
    pub(crate) jobs: Vec<ClaimedJob>,
    /// How long it is until the next job of these kinds is due, if one waits for its time.
    pub(crate) next: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Finished {
    /// What became of each job, in the order of the ends; `None` if it was no longer in that run.
    pub(crate) states: Vec<Option<JobState>>,
    pub(crate) claimed: Claimed,
}

#[derive(Debug)]
pub(crate) struct ClaimedJob {
    pub(crate) run: Run,
    pub(crate) kind: String,
    /// From 1.
    pub(crate) attempt: u32,
    pub(crate) args: String,
    pub(crate) origin: Option<String>,
    /// What was said last of it before this start.
    pub(crate) last: Option<JobProgress>,
}

/// One start of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Run {
    pub(crate) id: JobId,
    /// The number of the start, whether it counted as an attempt or not.
    pub(crate) fence: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct RunProgress {
    pub(crate) run: Run,
    pub(crate) progress: JobProgress,
}

#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) run: Run,
    pub(crate) end: End,
    /// The last that it said; none if it has said nothing.
    pub(crate) progress: Option<JobProgress>,
}

/// One time of a schedule.
#[derive(Debug, Clone)]
pub(crate) struct Tick {
    /// Its text, kind and arguments.
    pub(crate) schedule: String,
    /// In milliseconds since 1970.
    pub(crate) time: i64,
    /// How far apart two times have to be before the clock was wrong: times that old are forgotten.
    pub(crate) memory: Duration,
}
