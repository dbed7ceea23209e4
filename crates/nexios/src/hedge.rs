//! Hedging: one operation, attempted again when it is slow or fails.

mod attempt;
mod budget;
mod builder;
mod pace;
mod stats;

use std::{
    borrow::Cow,
    fmt,
    future::{Future, poll_fn},
    panic::Location,
    sync::{Arc, OnceLock},
    task::{Poll, ready},
    time::Duration,
};

pub use attempt::Attempt;
use attempt::PlannedAttempt;
use budget::Budget;
pub use builder::{Delay, HedgeBuilder};
use pace::Pace;
pub use stats::HedgeStats;
use stats::{HedgeCounters, Tally};

use crate::{
    cancel::CancelScope,
    race::{Billing, Decision, Occasion, RaceDriver, RaceError, StartRule},
    work::{
        WorkKind,
        alive::{Census, CensusEntry, LongLived},
        identity::given_or_place,
    },
};

/// The hedges that are alive and have worked.
pub(crate) static ALIVE: Census<dyn LongLived<Stats = HedgeStats>> = Census::new();

/// A policy for one operation that is safe to repeat: attempt it again when it is slow or fails.
///
/// The first attempt to succeed wins and the others are dropped, so the operation must be idempotent and
/// must stop when dropped. Clones share the observed latencies, the budget and the statistics; make one
/// `Hedge` for each operation (say, in a `static`) and use it for all calls. To choose among different
/// sources use [`run_until_first_complete`](crate::run_until_first_complete).
///
/// With [`Delay::Percentile`] only calls slower than usual are attempted again: at 0.95, one in twenty, which
/// is the scheme of Dean and Barroso, *The Tail at Scale* (2013). The [`budget`](HedgeBuilder::budget) keeps
/// it at that when everything gets slow at once.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::RaceError<std::io::Error>> {
/// use std::{io, sync::LazyLock};
///
/// use nexios::{Delay, Hedge};
///
/// static SEARCH: LazyLock<Hedge> =
///     LazyLock::new(|| Hedge::builder().max_attempts(2).delay(Delay::Percentile(0.95)).budget(0.05).build());
///
/// async fn search(replica: usize, query: &str) -> io::Result<String> {
///     Ok(format!("{query} from replica {replica}"))
/// }
///
/// let query = String::from("rust");
/// let hits = SEARCH.run(|attempt| search(attempt.number, &query)).await?;
/// assert_eq!(hits, "rust from replica 1");
/// assert_eq!(SEARCH.stats().hedges_started, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Hedge {
    policy: Arc<Policy>,
}

struct Policy {
    name: Option<Cow<'static, str>>,
    made_at: &'static Location<'static>,
    /// On the list of the living, from the first call on.
    entry: OnceLock<CensusEntry<dyn LongLived<Stats = HedgeStats>>>,
    max_attempts: usize,
    delay: Delay,
    /// What was observed; only for [`Delay::Percentile`].
    pace: Option<Pace>,
    /// `None`: no budget, every hedge may start.
    budget: Option<Budget>,
    counters: HedgeCounters,
}

impl HedgeBuilder {
    /// Makes the policy.
    #[must_use]
    pub fn build(self) -> Hedge {
        let pace = match self.delay {
            Delay::Percentile(share) => Some(Pace::new(share, self.warm_up)),
            _ => None,
        };
        Hedge {
            policy: Arc::new(Policy {
                name: self.name,
                made_at: self.made_at,
                entry: OnceLock::new(),
                max_attempts: self.max_attempts,
                delay: self.delay,
                pace,
                budget: self.budget.map(Budget::new),
                counters: HedgeCounters::default(),
            }),
        }
    }
}

impl Hedge {
    /// Starts a policy from its defaults: 2 attempts, [`Delay::Percentile`] of 0.95, no budget.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::RaceError<std::io::Error>> {
    /// use std::{io, time::Duration};
    /// use nexios::{Delay, Hedge};
    ///
    /// let search = Hedge::builder().name("search").delay(Delay::Fixed(Duration::from_millis(50))).build();
    /// let hits = search.run(|_attempt| async { Ok::<_, io::Error>(3) }).await?;
    /// assert_eq!(hits, 3);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn builder() -> HedgeBuilder {
        HedgeBuilder::default()
    }

    /// Runs the operation; the first attempt to succeed wins.
    ///
    /// `operation` makes an attempt's future at the moment when the attempt starts: the first at once, each
    /// further one after the policy's delay from the start of the one before it, or at once when all that
    /// run have failed. Everything runs in the caller's task and may borrow from it.
    ///
    /// When the budget has no token for a hedge, that hedge does not start; attempts in flight go on, and
    /// when they fail the next one starts all the same, without a token.
    ///
    /// A call made inside a [`CancelScope`] ends with it, as a [`Race`](crate::Race) does.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), nexios::RaceError<std::io::Error>> {
    /// use std::{io, time::Duration};
    /// use nexios::{Delay, Hedge};
    /// use tokio::time::sleep;
    ///
    /// let search = Hedge::builder().delay(Delay::Fixed(Duration::from_millis(50))).build();
    /// let answered_by = search
    ///     .run(|attempt| async move {
    ///         if attempt.number == 1 {
    ///             sleep(Duration::from_secs(10)).await; // the first replica is busy
    ///         }
    ///         Ok::<_, io::Error>(attempt.number)
    ///     })
    ///     .await?;
    /// assert_eq!(answered_by, 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`RaceError`] with the failure of every attempt, named `attempt 1` and so on, when all attempts
    /// have failed or the surrounding scope has ended.
    ///
    /// # Panics
    ///
    /// When an attempt, or `operation` itself, panics, the others are dropped and the panic resumes here.
    /// With a delay it needs a tokio runtime with its clock enabled, and panics without.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops every attempt before `drop` returns. A caller who leaves early counts as
    /// "at least that slow" in the observed latencies.
    pub fn run<T, E, F, Fut>(&self, operation: F) -> impl Future<Output = Result<T, RaceError<E>>>
    where
        F: Fn(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        let scope = CancelScope::current();
        async move {
            let policy = &*self.policy;
            policy
                .entry
                .get_or_init(|| ALIVE.enter(Arc::downgrade(&self.policy) as _));
            let mut tally = Tally::new(&policy.counters);
            let mut driver = policy.begin_call(scope);
            // The closure owns `operation`, so that the whole is `Send` if `operation` is, without `Sync`.
            poll_fn(move |cx| {
                let outcome = driver.poll(
                    cx,
                    || policy.billing(),
                    |index, planned, cause| {
                        let admitted = policy.admit(index, cause, &mut tally);
                        if admitted {
                            planned.begin(
                                operation(Attempt { number: index + 1 }),
                                policy.pace.as_ref(),
                            );
                        }
                        admitted
                    },
                );
                Poll::Ready(match ready!(outcome) {
                    Decision::Won { index, value, .. } => {
                        tally.won(index);
                        Ok(value)
                    }
                    Decision::Lost { limit_hit } => Err(driver.error(limit_hit)),
                })
            })
            .await
        }
    }

    /// Counts of all calls so far, and the delay as it is now.
    #[must_use]
    pub fn stats(&self) -> HedgeStats {
        self.policy.stats()
    }
}

impl Policy {
    /// Counts a call and lays out its attempts.
    fn begin_call<'h, Fut, T, E>(
        &self,
        scope: Option<CancelScope>,
    ) -> RaceDriver<'static, PlannedAttempt<'h, Fut>, T, E> {
        self.counters.called();
        if let Some(budget) = &self.budget {
            budget.feed();
        }
        let start = match self.current_delay() {
            Some(delay) if delay.is_zero() => StartRule::Together,
            Some(delay) => StartRule::After(delay),
            None => StartRule::OnFailure,
        };
        RaceDriver::new(
            (0..self.max_attempts).map(|_| PlannedAttempt::new(start)),
            scope,
        )
    }

    /// How a call is announced to whoever observes.
    fn billing(&self) -> Billing<'_> {
        let name = self.name.as_deref();
        Billing {
            race: WorkKind::Hedge,
            contender: WorkKind::Attempt,
            name,
            owner: name,
            made_at: self.made_at,
        }
    }

    /// Whether an attempt may start now; a refused one waits for the failure of those that run.
    fn admit(&self, index: usize, cause: Occasion, tally: &mut Tally<'_>) -> bool {
        if index == 0 {
            return true;
        }
        if cause == Occasion::Due && self.budget.as_ref().is_some_and(|budget| !budget.take()) {
            self.counters.suppressed();
            crate::log::say(|| {
                tracing::debug!(
                    attempt = index + 1,
                    "hedge suppressed: its budget is used up"
                );
            });
            return false;
        }
        tally.hedged();
        true
    }

    /// How long after an attempt the next one starts; `None` while only a failure starts it.
    fn current_delay(&self) -> Option<Duration> {
        match self.delay {
            Delay::Zero => Some(Duration::ZERO),
            Delay::Fixed(delay) => Some(delay),
            Delay::Percentile(_) => self.pace.as_ref().and_then(Pace::delay),
            Delay::OnFailureOnly => None,
        }
    }
}

impl LongLived for Policy {
    type Stats = HedgeStats;

    fn name(&self) -> Cow<'static, str> {
        given_or_place(self.name.clone(), self.made_at)
    }

    fn stats(&self) -> HedgeStats {
        self.counters.snapshot(self.current_delay())
    }
}

impl fmt::Debug for Hedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("max_attempts", &self.policy.max_attempts)
            .field("delay", &self.policy.delay)
            .field("budget", &self.policy.budget)
            .field("stats", &self.stats())
            .finish()
    }
}
