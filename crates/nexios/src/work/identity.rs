use std::{
    borrow::Cow,
    fmt,
    panic::Location,
    // Not the model checker's: numbers are taken while others wait on locks that it does not know.
    sync::atomic::{AtomicU64, Ordering},
};

use super::place::name_of;

/// The number of a piece of work: unique in the process, never 0.
///
/// [`Task::id`](crate::Task::id), the number in a [`TaskId`](crate::TaskId) and the one in a `WorkId` are the same.
///
/// ```
/// use nexios::observe::WorkId;
///
/// assert_eq!(WorkId(7).to_string(), "7");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(pub u64);

impl fmt::Display for WorkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// All numbers come from here: those of work, of tasks, and of what lives long.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Takes `count` numbers for good and returns the first.
pub(crate) fn take_numbers(count: u64) -> u64 {
    // Acquire and release: whoever gets a greater number than an observer's `since` sees that observer.
    NEXT.fetch_add(count, Ordering::AcqRel)
}

/// What something is called: as it was told, else by the place that made it, as `file:line:column`.
pub(crate) fn given_or_place(
    given: Option<Cow<'static, str>>,
    made_at: &'static Location<'static>,
) -> Cow<'static, str> {
    given.unwrap_or_else(|| name_of(made_at).into())
}

/// What sort of work it is.
///
/// ```
/// use nexios::observe::WorkKind;
///
/// assert_eq!(WorkKind::PoolJob.as_str(), "pool_job");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WorkKind {
    /// A request that somebody sent to this service: [`request`](super::request).
    Request,
    /// A task of a [`Background`](crate::Background), with all its attempts.
    Background,
    /// A [`TaskGroup`](crate::TaskGroup), from its first use that somebody observes (a spawn, a finalizer, an item, `run`)
    /// to its end.
    Group,
    /// A child of a group that is polled where the group is.
    Child,
    /// A child of a group that runs as a task of its own.
    ParallelChild,
    /// A child of a group that ends with the others.
    Daemon,
    /// An item of a group's `map`.
    Item,
    /// A cleanup that runs after the others.
    Finalizer,
    /// A closure on a thread of a pool.
    PoolJob,
    /// A race.
    Race,
    /// One source of a race.
    Candidate,
    /// A call of a [`Hedge`](crate::Hedge).
    Hedge,
    /// One attempt of a hedge.
    Attempt,
    /// The computation of a lazy value.
    Computation,
    /// Work of the user's own: [`custom`](super::custom).
    Custom,
}

impl WorkKind {
    /// The word for it in JSON, in HTML and as a label: `request`, `parallel_child`, `pool_job` and so on.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(nexios::observe::WorkKind::ParallelChild.as_str(), "parallel_child");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Background => "background",
            Self::Group => "group",
            Self::Child => "child",
            Self::ParallelChild => "parallel_child",
            Self::Daemon => "daemon",
            Self::Item => "item",
            Self::Finalizer => "finalizer",
            Self::PoolJob => "pool_job",
            Self::Race => "race",
            Self::Candidate => "candidate",
            Self::Hedge => "hedge",
            Self::Attempt => "attempt",
            Self::Computation => "computation",
            Self::Custom => "custom",
        }
    }
}

/// What an [`Observer`](super::Observer) is told when work is made.
///
/// ```
/// use nexios::observe::{Observer, Work, WorkKind};
///
/// struct SlowRequests;
/// impl Observer for SlowRequests {
///     fn made(&self, work: &Work<'_>) {
///         if work.kind == WorkKind::Request {
///             println!("{} began as {}", work.name, work.id);
///         }
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Work<'a> {
    /// Its number.
    pub id: WorkId,
    /// Whose part it is. `None` for a root: a request, a background task, a lazy computation, and what is made outside
    /// of all work that is observed.
    pub parent: Option<WorkId>,
    /// Who caused a root that outlives its cause: the work that started the background task, the first caller of the
    /// computation.
    pub link: Option<WorkId>,
    /// What sort of work it is.
    pub kind: WorkKind,
    /// The given name; else `file:line:column` of the call that made it; "attempt 1" and so on for the attempts of a hedge.
    pub name: &'a str,
    /// The pool, lazy value, hedge or registry of background tasks, by name.
    pub owner: Option<&'a str>,
    /// The call that made it, where that is known.
    pub made_at: Option<&'static Location<'static>>,
}
