use std::{borrow::Cow, error::Error, fmt};

/// Why a candidate did not win.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::{future::pending, time::Duration};
/// use nexios::{Candidate, Failure, run_until_first_complete};
///
/// let lost = run_until_first_complete([
///     Candidate::new("primary", async { Err("refused") }),
///     Candidate::new("backup", pending::<Result<(), _>>()),
/// ])
/// .timeout(Duration::from_secs(1))
/// .await
/// .expect_err("nobody answers in time");
/// assert!(matches!(lost.failures(), [(_, Failure::Failed("refused")), (_, Failure::Cancelled)]));
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure<E> {
    /// It returned this error.
    Failed(E),
    /// It ran into its own time limit, or the deadline of the surrounding
    /// [`CancelScope`](crate::CancelScope) came while it was running.
    TimedOut,
    /// It returned a value that [`accept`](crate::Race::accept) refused.
    Refused,
    /// It was running when something else ended the race: a fatal error, the first finisher of a
    /// [`first_completed`](crate::Race::first_completed) race, the overall limit or the scope's token.
    Cancelled,
    /// It was never polled.
    NotStarted,
}

impl<E> Failure<E> {
    /// The failure in words, without the error's own text: `E` need not be printable.
    fn verb(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failed",
            Self::TimedOut => "timed out",
            Self::Refused => "was refused",
            Self::Cancelled => "was cancelled",
            Self::NotStarted => "was not started",
        }
    }
}

/// What became of every candidate of a race that nobody won.
///
/// Its text names the candidates and what happened to each; the errors themselves are in
/// [`failures`](Self::failures). It has no [`source`](Error::source), because there can be several and `E`
/// need not be an [`Error`].
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use nexios::{Candidate, Failure, run_until_first_complete};
///
/// let lost = run_until_first_complete([
///     Candidate::new("primary", async { Err::<(), _>("no route") }),
///     Candidate::new("backup", async { Err("refused") }),
/// ])
/// .await
/// .expect_err("both fail");
/// assert_eq!(lost.to_string(), "no candidate won: primary failed, backup failed");
/// let (name, failure) = &lost.failures()[0];
/// assert!(name == "primary" && matches!(failure, Failure::Failed("no route")));
/// # }
/// ```
#[derive(Debug)]
pub struct RaceError<E> {
    failures: Vec<(Cow<'static, str>, Failure<E>)>,
    limit_hit: bool,
}

impl<E> RaceError<E> {
    pub(crate) fn new(failures: Vec<(Cow<'static, str>, Failure<E>)>, limit_hit: bool) -> Self {
        Self {
            failures,
            limit_hit,
        }
    }

    /// Whether the overall limit ended the race, or every candidate timed out.
    ///
    /// The overall limit is [`Race::timeout`](crate::Race::timeout) or the deadline of the surrounding
    /// [`CancelScope`](crate::CancelScope).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::{future::pending, time::Duration};
    /// use nexios::{Candidate, run_until_first_complete};
    ///
    /// let slow = || Candidate::new("source", pending::<Result<(), &str>>());
    /// let lost = run_until_first_complete([slow()]).timeout(Duration::from_secs(1)).await;
    /// let status = if lost.is_err_and(|lost| lost.is_timeout()) { 504 } else { 502 };
    /// assert_eq!(status, 504);
    /// # }
    /// ```
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        let timed_out = |(_, failure): &_| matches!(failure, Failure::TimedOut);
        self.limit_hit || (!self.is_empty() && self.failures.iter().all(timed_out))
    }

    /// Whether there was no candidate at all.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{Candidate, run_until_first_complete};
    ///
    /// let sources: [Candidate<'_, (), ()>; 0] = [];
    /// let lost = run_until_first_complete(sources).await.expect_err("nobody to win");
    /// assert!(lost.is_empty() && !lost.is_timeout());
    /// # }
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.failures.is_empty()
    }

    /// Every candidate's name and failure, in the order of the list.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{Candidate, run_until_first_complete};
    ///
    /// let lost = run_until_first_complete([
    ///     Candidate::new("primary", async { Err::<(), _>("no route") }),
    ///     Candidate::new("backup", async { Err("refused") }),
    /// ])
    /// .await
    /// .expect_err("both fail");
    /// let names: Vec<_> = lost.failures().iter().map(|(name, _)| name).collect();
    /// assert_eq!(names, ["primary", "backup"]);
    /// # }
    /// ```
    #[must_use]
    pub fn failures(&self) -> &[(Cow<'static, str>, Failure<E>)] {
        &self.failures
    }

    /// Every candidate's name and failure, in the order of the list, by value.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::io;
    /// use nexios::{Candidate, Failure, run_until_first_complete};
    ///
    /// let source = Candidate::new("source", async { Err::<(), _>(io::Error::other("refused")) });
    /// let lost = run_until_first_complete([source]).await.expect_err("it fails");
    /// for (name, failure) in lost.into_failures() {
    ///     let Failure::Failed(error) = failure else { continue };
    ///     let error: io::Error = error; // by value
    ///     assert_eq!(format!("{name}: {error}"), "source: refused");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn into_failures(self) -> Vec<(Cow<'static, str>, Failure<E>)> {
        self.failures
    }

    /// The first error, in the order of the list, that a candidate returned itself.
    ///
    /// This is the one to show when there is room for one only.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{Candidate, run_until_first_complete};
    ///
    /// let lost = run_until_first_complete([
    ///     Candidate::new("cache", async { Ok("") }),
    ///     Candidate::new("origin", async { Err("no route") }),
    /// ])
    /// .accept(|page| !page.is_empty())
    /// .await
    /// .expect_err("an empty page is none");
    /// assert_eq!(lost.primary(), Some(&"no route"));
    /// # }
    /// ```
    #[must_use]
    pub fn primary(&self) -> Option<&E> {
        self.failures.iter().find_map(|(_, failure)| match failure {
            Failure::Failed(error) => Some(error),
            _ => None,
        })
    }
}

impl<E> fmt::Display for RaceError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("the race had no candidates");
        }
        f.write_str(if self.limit_hit {
            "the race timed out"
        } else {
            "no candidate won"
        })?;
        for (place, (name, failure)) in self.failures.iter().enumerate() {
            let separator = if place == 0 { ":" } else { "," };
            write!(f, "{separator} {name} {}", failure.verb())?;
        }
        Ok(())
    }
}

impl<E: fmt::Debug> Error for RaceError<E> {}
