use std::{borrow::Cow, panic::Location, time::Duration};

use super::attempt::MOST_ATTEMPTS;

/// When the next attempt starts while the ones before it are still running.
///
/// Whatever the delay, when all running attempts have failed the next one starts at once.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::RaceError<&'static str>> {
/// use std::time::Duration;
/// use nexios::{Delay, Hedge};
///
/// let hedge = Hedge::builder().delay(Delay::Fixed(Duration::from_millis(50))).build();
/// assert_eq!(hedge.stats().current_delay, Some(Duration::from_millis(50)));
///
/// let retry = Hedge::builder().delay(Delay::OnFailureOnly).build();
/// assert_eq!(retry.stats().current_delay, None);
/// let number = retry.run(|attempt| async move { if attempt.number == 1 { Err("reset") } else { Ok(attempt.number) } });
/// assert_eq!(number.await?, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Delay {
    /// All attempts start at once.
    Zero,
    /// So long after the start of the one before.
    Fixed(Duration),
    /// As long as this share (0 to 1) of all answers took, by observation.
    ///
    /// There is no hedge before there are [`warm_up`](HedgeBuilder::warm_up) answers. What is observed are
    /// the times of single attempts; those that fail, lose or are left by their caller count as "at least so
    /// slow" and never lower it. The value is at most 12.5 % too high, never less than a microsecond, and
    /// follows the last 1,000 to 2,000 attempts.
    Percentile(f64),
    /// Only a failure starts the next attempt: never two at a time.
    OnFailureOnly,
}

/// The settings of a [`Hedge`](crate::Hedge).
///
/// # Examples
///
/// ```
/// use nexios::{Delay, Hedge};
///
/// let search = Hedge::builder()
///     .name("search")
///     .max_attempts(3)
///     .delay(Delay::Percentile(0.95))
///     .warm_up(100)
///     .budget(0.05)
///     .build();
/// assert_eq!(search.stats().current_delay, None); // nothing observed yet
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct HedgeBuilder {
    pub(super) name: Option<Cow<'static, str>>,
    pub(super) made_at: &'static Location<'static>,
    pub(super) max_attempts: usize,
    pub(super) delay: Delay,
    pub(super) budget: Option<f64>,
    pub(super) warm_up: u64,
}

impl Default for HedgeBuilder {
    #[track_caller]
    fn default() -> Self {
        let made_at = Location::caller();
        Self {
            name: None,
            made_at,
            max_attempts: 2,
            delay: Delay::Percentile(0.95),
            budget: None,
            warm_up: 20,
        }
    }
}

impl HedgeBuilder {
    /// Names the hedge for whoever observes it: see [`observe`](crate::observe). Default: the place where it was made.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::RaceError<()>> {
    /// use nexios::{Hedge, observe};
    ///
    /// let search = Hedge::builder().name("search").build();
    /// search.run(|_attempt| async { Ok(()) }).await?;
    /// assert_eq!(observe::snapshot().hedges[0].name, "search");
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Limits the attempts of one call, the first included. Default: 2; at least 1, at most 10.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{Delay, Hedge};
    ///
    /// let hedge = Hedge::builder().max_attempts(3).delay(Delay::OnFailureOnly).build();
    /// let lost = hedge.run(|attempt| async move { Err::<(), _>(attempt.number) }).await;
    /// assert!(lost.is_err_and(|lost| lost.failures().len() == 3));
    /// # }
    /// ```
    pub fn max_attempts(mut self, attempts: usize) -> Self {
        self.max_attempts = attempts.clamp(1, MOST_ATTEMPTS);
        self
    }

    /// Sets when the next attempt starts. Default: [`Delay::Percentile`] of 0.95.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), nexios::RaceError<std::io::Error>> {
    /// use std::{io, time::Duration};
    /// use nexios::{Delay, Hedge};
    /// use tokio::time::{Instant, sleep};
    ///
    /// let hedge = Hedge::builder().delay(Delay::Fixed(Duration::from_secs(1))).build();
    /// let began = Instant::now();
    /// hedge
    ///     .run(|attempt| async move {
    ///         sleep(Duration::from_secs(if attempt.number == 1 { 60 } else { 2 })).await;
    ///         Ok::<_, io::Error>(())
    ///     })
    ///     .await?;
    /// assert_eq!(began.elapsed().as_secs(), 3); // the second one's 2, after 1
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When a percentile is not between 0 and 1.
    #[track_caller]
    pub fn delay(mut self, delay: Delay) -> Self {
        if let Delay::Percentile(share) = delay {
            assert!(
                (0.0..=1.0).contains(&share),
                "the percentile of a hedge is between 0 and 1, not {share}"
            );
        }
        self.delay = delay;
        self
    }

    /// Limits hedges to this share (0 to 1) of all calls. Default: no limit.
    ///
    /// It is a token bucket: each call puts `share` of a token in, each hedge takes one out when it starts.
    /// It holds 10 tokens at first and 100 at most. An empty bucket only keeps new hedges from starting;
    /// attempts that replace failed ones need no token.
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
    /// let hedge = Hedge::builder().delay(Delay::Fixed(Duration::from_millis(50))).budget(0.0).build();
    /// for _ in 0..15 {
    ///     let slow = |_attempt| async { Ok::<_, io::Error>(sleep(Duration::from_secs(1)).await) };
    ///     hedge.run(slow).await?;
    /// }
    /// let stats = hedge.stats(); // the 10 tokens of the beginning, and none for the calls
    /// assert_eq!((stats.hedges_started, stats.hedges_suppressed), (10, 5));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When `share` is not between 0 and 1.
    #[track_caller]
    pub fn budget(mut self, share: f64) -> Self {
        assert!(
            (0.0..=1.0).contains(&share),
            "the budget of a hedge is between 0 and 1, not {share}"
        );
        self.budget = Some(share);
        self
    }

    /// Sets after how many answers a [`Delay::Percentile`] starts hedging. Default: 20.
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
    /// let hedge = Hedge::builder().delay(Delay::Percentile(0.95)).warm_up(2).build();
    /// for _ in 0..2 {
    ///     assert_eq!(hedge.stats().current_delay, None);
    ///     let search = |_attempt| async { Ok::<_, io::Error>(sleep(Duration::from_millis(80)).await) };
    ///     hedge.run(search).await?;
    /// }
    /// assert!(hedge.stats().current_delay >= Some(Duration::from_millis(80)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn warm_up(mut self, answers: u64) -> Self {
        self.warm_up = answers;
        self
    }
}
