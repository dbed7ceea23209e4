use std::time::Duration;

use crate::sync::atomic::{AtomicU64, Ordering};

/// What a [`Hedge`](crate::Hedge) has done so far.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::RaceError<&'static str>> {
/// use nexios::{Delay, Hedge};
///
/// let hedge = Hedge::builder().delay(Delay::OnFailureOnly).build();
/// hedge.run(|attempt| async move { if attempt.number == 1 { Err("reset") } else { Ok(()) } }).await?;
/// hedge.run(|_attempt| async { Ok(()) }).await?;
/// let stats = hedge.stats();
/// assert_eq!((stats.calls, stats.hedges_started, stats.hedges_won), (2, 1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HedgeStats {
    /// Calls that began to run.
    pub calls: u64,
    /// Attempts after the first of their call that started, whether for a delay or a failure.
    pub hedges_started: u64,
    /// Calls that such an attempt won.
    pub hedges_won: u64,
    /// Such attempts that did not win, counted when their call is over. The others are still running.
    pub hedges_wasted: u64,
    /// Hedges that did not start at their time because the budget was used up.
    pub hedges_suppressed: u64,
    /// The delay before the next attempt as it is now; `None` while only a failure starts one.
    pub current_delay: Option<Duration>,
}

// Relaxed but for `won` and `wasted`: statistics, nobody synchronises through them.
#[derive(Debug, Default)]
pub(super) struct HedgeCounters {
    calls: AtomicU64,
    started: AtomicU64,
    won: AtomicU64,
    wasted: AtomicU64,
    suppressed: AtomicU64,
}

impl HedgeCounters {
    pub(super) fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn suppressed(&self) {
        self.suppressed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what came of a call's later attempts.
    fn ended(&self, started: u64, won: bool) {
        // Release: who sees the end of a hedge sees its start before it.
        if won {
            self.won.fetch_add(1, Ordering::Release);
        }
        let wasted = started - u64::from(won);
        if wasted > 0 {
            self.wasted.fetch_add(wasted, Ordering::Release);
        }
    }

    pub(super) fn snapshot(&self, current_delay: Option<Duration>) -> HedgeStats {
        // Acquire, and before the starts are read: there are never more ends than starts.
        let hedges_won = self.won.load(Ordering::Acquire);
        let hedges_wasted = self.wasted.load(Ordering::Acquire);
        HedgeStats {
            calls: self.calls.load(Ordering::Relaxed),
            hedges_started: self.started.load(Ordering::Relaxed),
            hedges_won,
            hedges_wasted,
            hedges_suppressed: self.suppressed.load(Ordering::Relaxed),
            current_delay,
        }
    }
}

/// The later attempts of one call; what came of them is counted when it goes.
pub(super) struct Tally<'h> {
    counters: &'h HedgeCounters,
    started: u64,
    won: bool,
}

impl<'h> Tally<'h> {
    pub(super) fn new(counters: &'h HedgeCounters) -> Self {
        Self {
            counters,
            started: 0,
            won: false,
        }
    }

    /// Counts an attempt after the first that starts.
    pub(super) fn hedged(&mut self) {
        self.started += 1;
        self.counters.started.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes who won the call; only a later attempt is a hedge.
    pub(super) fn won(&mut self, index: usize) {
        self.won = index > 0;
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.counters.ended(self.started, self.won);
    }
}
