use std::{
    borrow::Cow,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::contender::{Contender, Plan, StartRule};

/// One way to get the value of a race: a name, a future, and when it may start.
///
/// Nothing runs before the race starts it; a candidate that never starts is never polled. Without
/// [`after`](Self::after) or [`on_failure`](Self::on_failure) it starts together with the one before it in
/// the list. The first of the list always starts at once.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::RaceError<String>> {
/// use std::time::Duration;
/// use nexios::{Candidate, run_until_first_complete};
///
/// let mirrors = ["mirror-a", "mirror-b", "mirror-c"];
/// let candidates = mirrors.iter().map(|mirror| {
///     Candidate::new(*mirror, async move { Ok::<_, String>(format!("page from {mirror}")) })
///         .after(Duration::from_millis(50)) // each after the one before it
///         .timeout(Duration::from_secs(2))
/// });
/// assert_eq!(run_until_first_complete(candidates).await?, "page from mirror-a");
/// # Ok(())
/// # }
/// ```
#[must_use = "a candidate does nothing outside a race"]
pub struct Candidate<'env, T, E> {
    // One box for everything: lists of candidates are moved about, and one allocation each is the least.
    boxed: Pin<Box<dyn Erased<T, E> + Send + 'env>>,
}

pin_project_lite::pin_project! {
    struct PlannedCandidate<F> {
        label: CandidateLabel,
        #[pin]
        future: F,
    }
}

/// What was said about a candidate.
struct CandidateLabel {
    name: Cow<'static, str>,
    plan: Plan,
}

/// A planned future of any type.
trait Erased<T, E> {
    fn label(&self) -> &CandidateLabel;
    fn label_mut(self: Pin<&mut Self>) -> &mut CandidateLabel;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>>;
}

impl<T, E, F: Future<Output = Result<T, E>>> Erased<T, E> for PlannedCandidate<F> {
    fn label(&self) -> &CandidateLabel {
        &self.label
    }

    fn label_mut(self: Pin<&mut Self>) -> &mut CandidateLabel {
        self.project().label
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        self.project().future.poll(cx)
    }
}

impl<'env, T, E> Candidate<'env, T, E> {
    /// Names a future that takes part in a race.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::RaceError<&'static str>> {
    /// use nexios::{Candidate, run_until_first_complete};
    ///
    /// let key = String::from("user=7"); // what a candidate does may borrow
    /// let winner = run_until_first_complete([
    ///     Candidate::new("cache", async { Err("miss") }),
    ///     Candidate::new("database", async { Ok(key.len()) }),
    /// ])
    /// .winner()
    /// .await?;
    /// assert_eq!((&*winner.name, winner.value), ("database", 6));
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        future: impl Future<Output = Result<T, E>> + Send + 'env,
    ) -> Self {
        let plan = Plan {
            start: StartRule::Together,
            limit: None,
        };
        Self {
            boxed: Box::pin(PlannedCandidate {
                label: CandidateLabel {
                    name: name.into(),
                    plan,
                },
                future,
            }),
        }
    }

    /// Starts it this long after the previous one in the list actually started.
    ///
    /// It starts earlier, at once, when all running candidates have failed: the staggering of
    /// [RFC 8305](https://www.rfc-editor.org/rfc/rfc8305#section-5) ("happy eyeballs"). Default: no delay.
    /// Of `after` and [`on_failure`](Self::on_failure) the last call counts.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), nexios::RaceError<()>> {
    /// use std::{future::pending, time::Duration};
    /// use nexios::{Candidate, run_until_first_complete};
    ///
    /// let winner = run_until_first_complete([
    ///     Candidate::new("IPv6", pending()),
    ///     Candidate::new("IPv4", async { Ok("connected") }).after(Duration::from_millis(250)),
    /// ])
    /// .winner()
    /// .await?;
    /// assert_eq!((&*winner.name, winner.elapsed.as_millis()), ("IPv4", 250));
    /// # Ok(())
    /// # }
    /// ```
    pub fn after(mut self, delay: Duration) -> Self {
        self.boxed.as_mut().label_mut().plan.start = StartRule::After(delay);
        self
    }

    /// Limits its own time, counted from its own start. Default: no limit.
    ///
    /// Running into the limit is a failure: [`Failure::TimedOut`](crate::Failure::TimedOut).
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
    ///     Candidate::new("cache", pending::<Result<(), &str>>()).timeout(Duration::from_millis(20)),
    ///     Candidate::new("database", async { Err("refused") }).on_failure(),
    /// ])
    /// .await
    /// .expect_err("neither answers");
    /// assert!(matches!(lost.failures()[0], (_, Failure::TimedOut)));
    /// # }
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.boxed.as_mut().label_mut().plan.limit = Some(limit);
        self
    }

    /// Starts it only when all earlier ones have failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::RaceError<&'static str>> {
    /// use nexios::{Candidate, run_until_first_complete};
    ///
    /// let winner = run_until_first_complete([
    ///     Candidate::new("cache", async { Ok("page") }),
    ///     Candidate::new("database", async { Err("too expensive to be asked in vain") }).on_failure(),
    /// ])
    /// .winner()
    /// .await?;
    /// assert_eq!((winner.value, winner.started), ("page", 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_failure(mut self) -> Self {
        self.boxed.as_mut().label_mut().plan.start = StartRule::OnFailure;
        self
    }
}

impl<T, E> Contender<T, E> for Candidate<'_, T, E> {
    fn plan(&self) -> &Plan {
        &self.boxed.label().plan
    }

    fn name(&self, _index: usize) -> &str {
        &self.boxed.label().name
    }

    fn take_name(&mut self, _index: usize) -> Cow<'static, str> {
        mem::take(&mut self.boxed.as_mut().label_mut().name)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        self.boxed.as_mut().poll(cx)
    }
}

impl<T, E> fmt::Debug for Candidate<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CandidateLabel {
            name,
            plan: Plan { start, limit },
        } = self.boxed.label();
        f.debug_struct("Candidate")
            .field("name", name)
            .field("start", start)
            .field("timeout", limit)
            .finish_non_exhaustive()
    }
}
