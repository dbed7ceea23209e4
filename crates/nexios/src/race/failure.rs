use std::{borrow::Cow, error::Error, fmt};

/// Why a candidate did not win.
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
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        let timed_out = |(_, failure): &_| matches!(failure, Failure::TimedOut);
        self.limit_hit || (!self.is_empty() && self.failures.iter().all(timed_out))
    }

    /// Whether there was no candidate at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.failures.is_empty()
    }

    /// Every candidate's name and failure, in the order of the list.
    #[must_use]
    pub fn failures(&self) -> &[(Cow<'static, str>, Failure<E>)] {
        &self.failures
    }

    /// Every candidate's name and failure, in the order of the list, by value.
    #[must_use]
    pub fn into_failures(self) -> Vec<(Cow<'static, str>, Failure<E>)> {
        self.failures
    }

    /// The first error, in the order of the list, that a candidate returned itself.
    ///
    /// This is the one to show when there is room for one only.
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
