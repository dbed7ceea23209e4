//! Races: several ways to one value, the first success wins.

mod candidate;
mod clock;
mod contender;
mod delay;
mod driver;
mod failure;
mod observed;
mod rare_state;
mod rules;
mod winner;

use std::{
    borrow::Cow,
    fmt,
    future::{Future, poll_fn},
    panic::Location,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

pub use candidate::Candidate;
pub(crate) use contender::{Contender, Plan, StartRule};
pub(crate) use driver::{Decision, Occasion, RaceDriver};
pub use failure::{Failure, RaceError};
pub(crate) use observed::Billing;
pub use winner::Winner;

use crate::{cancel::CancelScope, work::WorkKind};

/// Runs candidates in the caller's task until one succeeds; the others are dropped.
///
/// A failure only counts when nobody else can still win. Nothing is spawned, so candidates may borrow from
/// the caller. If all you have is a list of futures to start at once,
/// [`select_ok`](https://docs.rs/futures-util/latest/futures_util/future/fn.select_ok.html) of futures-util
/// is the smaller tool; it keeps only the last error. To repeat one operation instead of choosing among
/// several, use a [`Hedge`](crate::Hedge).
///
/// # Examples
///
/// The backup starts when the primary has not answered after 50 ms, or at once when it fails:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::RaceError<String>> {
/// use std::time::Duration;
///
/// use nexios::{Candidate, run_until_first_complete};
///
/// async fn search(source: &str, query: &str) -> Result<Vec<String>, String> {
///     match source {
///         "primary" => Err("connection refused".to_owned()),
///         _ => Ok(vec![format!("{query} from {source}")]),
///     }
/// }
///
/// let query = String::from("rust");
/// let hits = run_until_first_complete([
///     Candidate::new("primary", search("primary", &query)),
///     Candidate::new("backup", search("backup", &query)).after(Duration::from_millis(50)),
///     Candidate::new("archive", search("archive", &query)).on_failure(),
/// ])
/// .timeout(Duration::from_secs(3))
/// .accept(|hits| !hits.is_empty())
/// .await?;
/// assert_eq!(hits, ["rust from backup"]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// See [`Race::winner`].
///
/// # Panics
///
/// See [`Race::winner`].
///
/// # Cancel safety
///
/// See [`Race::winner`].
// Always: as `RaceDriver::new`.
#[inline(always)]
#[track_caller]
pub fn run_until_first_complete<'env, T, E>(
    candidates: impl IntoIterator<Item = Candidate<'env, T, E>>,
) -> Race<'env, T, E> {
    Race {
        driver: RaceDriver::new(candidates, CancelScope::current()),
        made_at: Location::caller(),
    }
}

/// A race that starts when it is first polled; a future of the winner's value.
///
/// [`winner`](Self::winner) also tells who won. Settings are for before the first poll. Timelines:
///
/// * Candidates start in the order of the list, each as its [`Candidate`] settings say. When all that run
///   have failed, the next starts at once, and later delays count from that start.
/// * An error, a timeout, a refused value are failures. Of what happens in one instant, a success counts
///   before anything else; of several successes, the one lowest in the list.
/// * A wake-up polls every candidate that runs, the lowest in the list first (after code that is always ready has used up the
///   task's turn, the next turn begins with another one). That is meant for two to ten candidates; to watch
///   hundreds of futures take a [`TaskGroup`](crate::TaskGroup).
/// * The losers and all timers are dropped before the value is returned.
///
/// A race made inside a [`CancelScope`] ends with it: its running candidates are reported as
/// [`Failure::Cancelled`] when the scope's token fires, as [`Failure::TimedOut`] at its deadline.
///
/// Without any time limit or delay a race needs no runtime, and it makes no timer.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::{future::pending, time::Duration};
/// use nexios::{Candidate, run_until_first_complete};
///
/// let race = run_until_first_complete([
///     Candidate::new("primary", pending::<Result<&str, &str>>()),
///     Candidate::new("backup", async { Ok("page") }).after(Duration::from_millis(50)),
/// ])
/// .name("fetch page")
/// .timeout(Duration::from_secs(3));
/// assert_eq!(race.await.ok(), Some("page"));
/// # }
/// ```
///
/// # Errors, Panics, Cancel safety
///
/// As [`winner`](Self::winner). Polled again when it is over, it panics.
#[must_use = "a race does nothing unless it is awaited"]
pub struct Race<'env, T, E> {
    driver: RaceDriver<'env, Candidate<'env, T, E>, T, E>,
    made_at: &'static Location<'static>,
}

/// How a race is announced to whoever observes.
fn billing(made_at: &'static Location<'static>) -> Billing<'static> {
    Billing {
        race: WorkKind::Race,
        contender: WorkKind::Candidate,
        name: None,
        owner: None,
        made_at,
    }
}

impl<'env, T: Send + 'env, E: Send + 'env> Race<'env, T, E> {
    /// Names the race for whoever observes it: see [`observe`](crate::observe). Default: the place of the call.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::RaceError<()>> {
    /// use std::sync::{Arc, mpsc};
    /// use nexios::{Candidate, observe::{self, Observer, Work, WorkKind}, run_until_first_complete};
    ///
    /// struct Races(mpsc::Sender<String>);
    /// impl Observer for Races {
    ///     fn made(&self, work: &Work<'_>) {
    ///         if work.kind == WorkKind::Race {
    ///             let _ = self.0.send(work.name.to_owned());
    ///         }
    ///     }
    /// }
    ///
    /// let (names, seen) = mpsc::channel();
    /// let _observing = observe::observe(Arc::new(Races(names)));
    /// run_until_first_complete([Candidate::new("cache", async { Ok(1) })]).name("fetch page").await?;
    /// assert_eq!(seen.recv().as_deref(), Ok("fetch page"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.driver.set_name(name.into());
        self
    }

    /// Limits the whole race, counted from its first poll. Default: no limit but that of the scope.
    ///
    /// At the limit every candidate that runs is dropped and reported as [`Failure::Cancelled`], and the
    /// error's [`is_timeout`](RaceError::is_timeout) is true. A limit of zero still polls once.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::{future::pending, time::Duration};
    /// use nexios::{Candidate, run_until_first_complete};
    ///
    /// let source = Candidate::new("source", pending::<Result<(), ()>>());
    /// let lost = run_until_first_complete([source]).timeout(Duration::from_secs(3)).await;
    /// assert!(lost.is_err_and(|lost| lost.is_timeout()));
    /// # }
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.driver.set_timeout(limit);
        self
    }

    /// Lets only those values win for which `accept` says true. Default: every value.
    ///
    /// A refused value is a failure of its candidate: [`Failure::Refused`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::RaceError<()>> {
    /// use nexios::{Candidate, run_until_first_complete};
    ///
    /// let hits = run_until_first_complete([
    ///     Candidate::new("recent", async { Ok(vec![]) }),
    ///     Candidate::new("archive", async { Ok(vec!["rust"]) }),
    /// ])
    /// .accept(|hits| !hits.is_empty())
    /// .await?;
    /// assert_eq!(hits, ["rust"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn accept(mut self, accept: impl Fn(&T) -> bool + Send + 'env) -> Self {
        self.driver.rules_mut().accept = Some(Box::new(accept));
        self
    }

    /// Ends the race at the first error for which `fatal` says true. Default: no error does.
    ///
    /// Use it for errors that every candidate would return, such as a malformed query.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{Candidate, Failure, run_until_first_complete};
    ///
    /// let lost = run_until_first_complete([
    ///     Candidate::new("primary", async { Err::<(), _>("malformed query") }),
    ///     Candidate::new("backup", async { Err("malformed query") }).on_failure(),
    /// ])
    /// .fatal(|error| *error == "malformed query")
    /// .await
    /// .expect_err("there is no sense in asking the backup");
    /// assert!(matches!(lost.failures()[1], (_, Failure::NotStarted)));
    /// # }
    /// ```
    pub fn fatal(mut self, fatal: impl Fn(&E) -> bool + Send + 'env) -> Self {
        self.driver.rules_mut().fatal = Some(Box::new(fatal));
        self
    }

    /// Receives every produced value that is not returned. Default: such values are dropped.
    ///
    /// These are refused values, and those of losers that finished in the same poll as the winner. Use it to
    /// give back what a mere drop would leak.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::RaceError<()>> {
    /// use std::sync::mpsc;
    /// use nexios::{Candidate, run_until_first_complete};
    ///
    /// let (to_pool, returned) = mpsc::channel();
    /// let connection = run_until_first_complete([
    ///     Candidate::new("replica", async { Ok("a read-only connection") }),
    ///     Candidate::new("primary", async { Ok("a connection") }),
    /// ])
    /// .accept(|connection| !connection.contains("read-only"))
    /// .on_discard(move |connection| to_pool.send(connection).expect("somebody waits"))
    /// .await?;
    /// assert_eq!((connection, returned.recv()), ("a connection", Ok("a read-only connection")));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_discard(mut self, discard: impl Fn(T) + Send + 'env) -> Self {
        self.driver.rules_mut().discard = Some(Box::new(discard));
        self
    }

    /// Lets the first finisher decide, whether it succeeds or fails. Default: failures do not.
    ///
    /// A timeout or a refused value is an end too. Candidates after one that finishes at once are not
    /// polled; of several that finish in one poll the lowest in the list decides.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::{io, time::Duration};
    /// use nexios::{Candidate, run_until_first_complete};
    /// use tokio::time::sleep;
    ///
    /// let ended = run_until_first_complete([
    ///     Candidate::new("upload", async { Ok(sleep(Duration::from_secs(60)).await) }),
    ///     Candidate::new("connection", async { Err(io::Error::other("closed")) }),
    /// ])
    /// .first_completed()
    /// .await;
    /// assert!(ended.is_err_and(|ended| ended.primary().is_some()));
    /// # }
    /// ```
    pub fn first_completed(mut self) -> Self {
        self.driver.rules_mut().first_completed = true;
        self
    }

    /// Runs the race and tells who won.
    ///
    /// The winner's time counts from the first poll of the race.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::RaceError<&'static str>> {
    /// use nexios::{Candidate, run_until_first_complete};
    ///
    /// let winner = run_until_first_complete([
    ///     Candidate::new("cache", async { Err("miss") }),
    ///     Candidate::new("origin", async { Ok("page") }),
    /// ])
    /// .winner()
    /// .await?;
    /// assert_eq!((winner.value, &*winner.name, winner.index), ("page", "origin", 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`RaceError`] with every candidate's failure when nobody won: all failed, a fatal error or a limit
    /// ended the race, the surrounding scope was cancelled, or the list was empty.
    ///
    /// # Panics
    ///
    /// When a candidate panics, the others are dropped and the panic resumes here; the same goes for the
    /// closures given to the race. With delays or limits it needs a tokio runtime with its clock enabled,
    /// and panics without.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops every candidate and timer before `drop` returns. What the candidates did so
    /// far is lost, as far as they are not cancel safe themselves.
    pub async fn winner(mut self) -> Result<Winner<T>, RaceError<E>> {
        let (driver, made_at) = (&mut self.driver, self.made_at);
        let began = driver.began().unwrap_or_else(Instant::now);
        match poll_fn(|cx| driver.poll(cx, || billing(made_at), |_, _, _| true)).await {
            Decision::Won { index, name, value } => Ok(Winner {
                value,
                name,
                index,
                elapsed: began.elapsed(),
                started: driver.started(),
            }),
            Decision::Lost { limit_hit } => Err(driver.error(limit_hit)),
        }
    }
}

// Nothing in it is pinned: the candidates are in boxes of their own.
impl<T, E> Unpin for Race<'_, T, E> {}

impl<T, E> Future for Race<'_, T, E> {
    type Output = Result<T, RaceError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let made_at = self.made_at;
        let driver = &mut self.driver;
        Poll::Ready(
            match ready!(driver.poll(cx, || billing(made_at), |_, _, _| true)) {
                Decision::Won { value, .. } => Ok(value),
                Decision::Lost { limit_hit } => Err(driver.error(limit_hit)),
            },
        )
    }
}

impl<T, E> fmt::Debug for Race<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.driver.debug(&mut f.debug_struct("Race")).finish()
    }
}
