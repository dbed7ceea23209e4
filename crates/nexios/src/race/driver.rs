//! The state machine of a race: starts the entries in the order of the list, polls those that were woken,
//! and decides.
//!
//! # Invariants
//!
//! 1. Entries start in list order: all before `next` have started, none from `next` on.
//! 2. A poll of the race polls every woken entry, lowest index first, before it decides; so a success beats
//!    whatever else happens in the same instant, and among successes the lowest index wins.
//! 3. An entry is polled when it starts and after its own alarm rang, never otherwise.
//! 4. Before the outcome is returned, or a panic resumed, every future and timer of the race is dropped.
//! 5. Without times the clock is never read and no timer is made, so no runtime is needed.

use std::{
    borrow::Cow,
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::{FutureExt, task::waker_ref};
use tokio::time::Instant;

use super::{
    Failure, RaceError,
    alarm::Alarm,
    bounds::{Bounds, End, Timer},
    entry::{Entry, Hearing, Runner, Start, State},
    rules::{Rules, panic_message},
};
use crate::CancelReason;

/// Why an entry starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its time has come while others are running.
    Due,
    /// Nobody is running: it is the first, or all before it have failed.
    Failover,
}

/// How a race ended.
pub(crate) enum Outcome<T> {
    Won { index: usize, name: Cow<'static, str>, value: T },
    Lost { limit_hit: bool },
}

/// One race under way.
pub(crate) struct Driver<'env, W, F, T, E> {
    entries: Vec<Entry<W, F, E>>,
    pub(super) rules: Rules<'env, T, E>,
    pub(super) bounds: Bounds,
    /// The first entry that has not started.
    next: usize,
    /// How many entries are running.
    running: usize,
    /// How many entries were polled; less than `next` when the first finisher of a poll decides.
    polled: usize,
    /// Whether the race was polled.
    begun: bool,
    /// Whether the clock has to be read at all.
    pub(super) timed: bool,
    /// When the race was first polled, if it is timed.
    began: Option<Instant>,
    /// When the last entry started, if the race is timed.
    last_start: Option<Instant>,
    /// When the race is over, whatever happens.
    end: Option<End>,
    /// Set by an entry's outcome that ends the race without a winner.
    decided: bool,
    timer: Timer,
    /// An alarm that nobody holds, for the next entry that starts.
    spare: Option<Arc<Alarm>>,
}

impl<'env, W, F, T, E> Driver<'env, W, F, T, E> {
    pub(crate) fn new(entries: Vec<Entry<W, F, E>>, bounds: Bounds) -> Self {
        Self {
            entries,
            rules: Rules::default(),
            bounds,
            next: 0,
            running: 0,
            polled: 0,
            begun: false,
            timed: false,
            began: None,
            last_start: None,
            end: None,
            decided: false,
            timer: Timer::default(),
            spare: None,
        }
    }

    pub(super) fn entries(&self) -> &[Entry<W, F, E>] {
        &self.entries
    }

    /// How many entries were polled.
    pub(super) fn started(&self) -> usize {
        self.polled
    }

    /// The time since the first poll; zero when the race is not timed.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// What became of every entry of a race that is lost.
    pub(crate) fn error(&mut self, limit_hit: bool) -> RaceError<E> {
        let entries = mem::take(&mut self.entries);
        RaceError::new(entries.into_iter().map(Entry::into_failure).collect(), limit_hit)
    }

    /// Drops every future and timer; what was running failed as `failure` says.
    fn close(&mut self, failure: impl Fn() -> Failure<E>) {
        self.timer.close();
        self.bounds.close();
        for entry in &mut self.entries {
            let failure = match entry.state {
                State::Ended(_) => continue,
                State::Running(Runner { hearing: Hearing::Fresh, .. }) | State::Waiting(_) => {
                    Failure::NotStarted
                }
                State::Running(_) => failure(),
            };
            entry.state = State::Ended(failure);
        }
        self.running = 0;
    }

    /// Drops everything at once.
    fn clear(&mut self) {
        self.timer.close();
        self.bounds.close();
        self.entries.clear();
        self.running = 0;
        self.next = 0;
    }
}

impl<W, F, T, E> Driver<'_, W, F, T, E>
where
    F: Future<Output = Result<T, E>> + Unpin,
{
    /// Drives the race. `begin` turns what waits into a running future, or hands it back when the entry must
    /// not start before everybody else has failed.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut begin: impl FnMut(usize, W, Cause) -> Result<F, W>,
    ) -> Poll<Outcome<T>> {
        match catch_unwind(AssertUnwindSafe(|| self.step(cx, &mut begin))) {
            Ok(outcome) => outcome,
            Err(panic) => {
                self.clear();
                resume_unwind(panic)
            }
        }
    }

    fn step(
        &mut self,
        cx: &mut Context<'_>,
        begin: &mut impl FnMut(usize, W, Cause) -> Result<F, W>,
    ) -> Poll<Outcome<T>> {
        if !self.begun {
            self.begin_clock();
        }
        loop {
            if let Some((index, value)) = self.poll_woken() {
                let name = mem::take(&mut self.entries[index].name);
                self.clear();
                return Poll::Ready(Outcome::Won { index, name, value });
            }
            let now = self.timed.then(Instant::now);
            if let Some(now) = now.filter(|_| !self.decided) {
                self.expire(now);
            }
            if self.decided {
                self.close(|| Failure::Cancelled);
                return Poll::Ready(Outcome::Lost { limit_hit: false });
            }
            if let Some(reason) = self.bounds.cancelled() {
                let limit_hit = reason == CancelReason::Deadline;
                self.close(|| if limit_hit { Failure::TimedOut } else { Failure::Cancelled });
                return Poll::Ready(Outcome::Lost { limit_hit });
            }
            if self.start_due(now, begin) {
                continue;
            }
            let over = self.end.filter(|end| now.is_some_and(|now| end.at <= now));
            if self.running == 0 && (over.is_none() || self.next == self.entries.len()) {
                self.close(|| Failure::Cancelled);
                return Poll::Ready(Outcome::Lost { limit_hit: false });
            }
            if let Some(end) = over {
                self.close(|| if end.inherited { Failure::TimedOut } else { Failure::Cancelled });
                return Poll::Ready(Outcome::Lost { limit_hit: true });
            }
            if self.watch(cx) {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
    }

    fn begin_clock(&mut self) {
        self.begun = true;
        let timed = |entry: &Entry<W, F, E>| entry.limit.is_some() || matches!(entry.start, Start::After(_));
        self.timed = self.timed || self.bounds.are_timed() || self.entries.iter().any(timed);
        if self.timed {
            let began = Instant::now();
            self.began = Some(began);
            self.end = self.bounds.end(began);
        }
    }

    /// Polls every entry that is due for a poll, and returns the winner if there is one.
    fn poll_woken(&mut self) -> Option<(usize, T)> {
        let mut winner = None;
        for index in 0..self.next {
            let Some(result) = self.poll_entry(index) else {
                continue;
            };
            self.running -= 1;
            let failure = match result {
                Ok(Ok(value)) if winner.is_some() => {
                    self.rules.discard(value);
                    Failure::Cancelled
                }
                Ok(Ok(value)) if self.rules.accepts(&value) => {
                    winner = Some((index, value));
                    Failure::Cancelled
                }
                Ok(Ok(value)) => {
                    self.rules.discard(value);
                    Failure::Refused
                }
                Ok(Err(error)) => {
                    self.decided |= self.rules.is_fatal(&error);
                    Failure::Failed(error)
                }
                Err(message) => Failure::Panicked(message),
            };
            // Drops the finished future.
            self.entries[index].state = State::Ended(failure);
            if self.rules.first_completed {
                self.decided = true;
                break;
            }
        }
        winner
    }

    /// Polls one entry if it is running and due; `None` while it has no outcome, `Err` for a panic's message.
    fn poll_entry(&mut self, index: usize) -> Option<Result<Result<T, E>, String>> {
        let State::Running(runner) = &mut self.entries[index].state else {
            return None;
        };
        let mut alarm = match mem::replace(&mut runner.hearing, Hearing::Silent) {
            Hearing::Fresh => {
                self.polled += 1;
                self.spare.take().unwrap_or_else(Alarm::new)
            }
            Hearing::Silent => return None,
            Hearing::Alarm(alarm) => {
                if !alarm.take_woken() {
                    runner.hearing = Hearing::Alarm(alarm);
                    return None;
                }
                alarm
            }
        };
        let outcome = {
            let waker = waker_ref(&alarm);
            let mut cx = Context::from_waker(&waker);
            let future = &mut runner.future;
            if self.rules.panic_is_failure {
                match catch_unwind(AssertUnwindSafe(|| future.poll_unpin(&mut cx))) {
                    Ok(outcome) => outcome.map(Ok),
                    Err(panic) => Poll::Ready(Err(panic_message(&*panic))),
                }
            } else {
                future.poll_unpin(&mut cx).map(Ok)
            }
        };
        match outcome {
            Poll::Ready(outcome) => {
                self.spare = Alarm::recycle(alarm);
                Some(outcome)
            }
            Poll::Pending => {
                if Alarm::is_unheard(&mut alarm) {
                    self.spare = Alarm::recycle(alarm);
                } else {
                    runner.hearing = Hearing::Alarm(alarm);
                }
                None
            }
        }
    }

    /// Ends the runners whose own limit has come.
    fn expire(&mut self, now: Instant) {
        for entry in &mut self.entries[..self.next] {
            if let State::Running(Runner { until: Some(until), .. }) = &entry.state
                && *until <= now
            {
                entry.state = State::Ended(Failure::TimedOut);
                self.running -= 1;
                self.decided |= self.rules.first_completed;
            }
        }
    }

    /// Starts what may start now; true if anything did.
    fn start_due(
        &mut self,
        now: Option<Instant>,
        begin: &mut impl FnMut(usize, W, Cause) -> Result<F, W>,
    ) -> bool {
        // Once the end has passed nothing new starts; the first entry is always given one poll.
        let too_late = now.zip(self.end).is_some_and(|(now, end)| end.at < now);
        if too_late && self.next > 0 {
            return false;
        }
        let before = self.next;
        while self.next < self.entries.len() {
            let cause = if self.running == 0 {
                Cause::Failover
            } else if self.next_start().is_some_and(|due| due <= now) {
                Cause::Due
            } else {
                break;
            };
            let entry = &mut self.entries[self.next];
            let placeholder = State::Ended(Failure::NotStarted);
            let State::Waiting(waiting) = mem::replace(&mut entry.state, placeholder) else {
                break;
            };
            match begin(self.next, waiting, cause) {
                Ok(future) => {
                    let until = now.zip(entry.limit).and_then(|(now, limit)| now.checked_add(limit));
                    entry.state = State::Running(Runner { future, hearing: Hearing::Fresh, until });
                    self.last_start = now;
                    self.running += 1;
                    self.next += 1;
                }
                Err(waiting) => {
                    entry.state = State::Waiting(waiting);
                    entry.start = Start::OnFailure;
                    break;
                }
            }
        }
        self.next > before
    }

    /// When the next entry starts while others are running: `None` for not at all, `Some(None)` for at once.
    fn next_start(&self) -> Option<Option<Instant>> {
        match self.entries.get(self.next)?.start {
            Start::Together => Some(None),
            // A delay beyond the end of the clock never ends.
            Start::After(delay) => self.last_start?.checked_add(delay).map(Some),
            Start::OnFailure => None,
        }
    }

    /// Arranges the wake-ups; true when one of them was due before it was arranged.
    fn watch(&mut self, cx: &mut Context<'_>) -> bool {
        let mut again = self.bounds.watch(cx);
        if let Some(instant) = self.next_instant() {
            again |= self.timer.watch(instant, cx);
        }
        again | self.watch_alarms(cx.waker())
    }

    fn watch_alarms(&self, task: &Waker) -> bool {
        let mut again = false;
        for entry in &self.entries[..self.next] {
            if let State::Running(Runner { hearing: Hearing::Alarm(alarm), .. }) = &entry.state {
                again |= alarm.watch(task);
            }
        }
        again
    }

    /// The next instant at which something happens by itself.
    fn next_instant(&self) -> Option<Instant> {
        if !self.timed {
            return None;
        }
        let limits = self.entries[..self.next].iter().filter_map(|entry| match &entry.state {
            State::Running(runner) => runner.until,
            _ => None,
        });
        limits.chain(self.next_start().flatten()).chain(self.end.map(|end| end.at)).min()
    }
}
