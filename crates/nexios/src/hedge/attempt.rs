use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::Instant;

use super::pace::Pace;
use crate::race::{Contender, Plan, StartRule};

/// The most attempts of one call.
pub(super) const MOST_ATTEMPTS: usize = NAMES.len();

const NAMES: [&str; 10] = [
    "attempt 1",
    "attempt 2",
    "attempt 3",
    "attempt 4",
    "attempt 5",
    "attempt 6",
    "attempt 7",
    "attempt 8",
    "attempt 9",
    "attempt 10",
];

/// Which attempt of a call this is.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::RaceError<&'static str>> {
/// use nexios::{Attempt, Delay, Hedge};
///
/// let replicas = ["search-a", "search-b"];
/// let search = Hedge::builder().delay(Delay::OnFailureOnly).build();
/// let answer = search
///     .run(|Attempt { number }| {
///         let replica = replicas[number - 1];
///         async move { if replica == "search-a" { Err("refused") } else { Ok(replica) } }
///     })
///     .await?;
/// assert_eq!(answer, "search-b");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// From 1, the first.
    pub number: usize,
}

/// An attempt as the race sees it: its future is made when it starts.
pub(super) struct PlannedAttempt<'h, Fut> {
    plan: Plan,
    future: Option<Pin<Box<Fut>>>,
    clock: Option<Stopwatch<'h>>,
}

/// Reports an attempt's time once: as an answer, or when dropped as "at least so long".
struct Stopwatch<'h> {
    pace: &'h Pace,
    started: Instant,
    answered: bool,
}

impl<'h, Fut> PlannedAttempt<'h, Fut> {
    pub(super) fn new(start: StartRule) -> Self {
        Self {
            plan: Plan { start, limit: None },
            future: None,
            clock: None,
        }
    }

    /// Starts the attempt; its time is reported to `pace`, whatever its end.
    pub(super) fn begin(&mut self, future: Fut, pace: Option<&'h Pace>) {
        self.future = Some(Box::pin(future));
        self.clock = pace.map(|pace| Stopwatch {
            pace,
            started: Instant::now(),
            answered: false,
        });
    }
}

impl<T, E, Fut: Future<Output = Result<T, E>>> Contender<T, E> for PlannedAttempt<'_, Fut> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn name(&self, index: usize) -> &str {
        NAMES.get(index).copied().unwrap_or_default()
    }

    fn take_name(&mut self, index: usize) -> Cow<'static, str> {
        NAMES.get(index).copied().unwrap_or_default().into()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        let Some(future) = &mut self.future else {
            return Poll::Pending;
        };
        let result = ready!(future.as_mut().poll(cx));
        if let Some(mut clock) = self.clock.take() {
            // A quick error says nothing about how long an answer takes.
            clock.answered = result.is_ok();
        }
        Poll::Ready(result)
    }
}

impl Drop for Stopwatch<'_> {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        if self.answered {
            self.pace.answered(took);
        } else {
            self.pace.unfinished(took);
        }
    }
}
