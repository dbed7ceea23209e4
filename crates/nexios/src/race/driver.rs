//! The state machine of a race: starts the contenders in the order of the list, polls those that were woken,
//! and decides.
//!
//! # Invariants
//!
//! 1. Contenders start in list order: all before `next` have started, none from `next` on.
//! 2. A poll of the race polls every woken contender, lowest index first, before it decides; so a success
//!    beats whatever else happens in the same instant, and among successes the lowest index wins.
//! 3. A contender is polled when it starts and after its own alarm rang, never otherwise.
//! 4. Before the outcome is returned, or a panic resumed, every future and timer of the race is dropped.
//! 5. Without times the clock is never read and no timer is made, so no runtime is needed.

use std::{
    borrow::Cow,
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::waker_ref;
use tokio::time::Instant;

use super::{
    Failure, RaceError,
    alarm::Alarm,
    clock::{Clock, End},
    contender::{Contender, Plan, Start},
    lineup::Lineup,
    rules::{Rules, panic_message},
    waiting::Waiting,
};
use crate::{CancelReason, CancelScope, CancelToken};

/// Why a contender starts.
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
pub(crate) struct Driver<'env, C, T, E> {
    /// Those that have not ended.
    lineup: Lineup<C>,
    /// The first contender that has not started.
    next: usize,
    /// How many contenders are running.
    running: usize,
    /// How many contenders were polled, which are the first of the list; less than `next` when the first
    /// finisher of a poll decides.
    polled: usize,
    stage: Stage,
    /// Whether the next contender was refused its start and has to wait until nobody runs.
    held_back: bool,
    /// Set by an outcome that ends the race without a winner.
    decided: bool,
    /// Whether there is something to measure.
    timed: bool,
    /// `None`: the defaults.
    rules: Option<Box<Rules<'env, T, E>>>,
    /// The token of the surrounding scope.
    token: Option<CancelToken>,
    /// Those that have ended, in the order of their ends: index, name, why.
    ended: Vec<(usize, Cow<'static, str>, Failure<E>)>,
    waiting: Option<Pin<Box<Waiting>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Running,
    Over,
}

impl<'env, C, T, E> Driver<'env, C, T, E> {
    /// Lines the contenders up for a race that ends with `scope`.
    pub(crate) fn new(contenders: impl IntoIterator<Item = C>, scope: Option<CancelScope>) -> Self {
        let lineup: Lineup<C> = contenders.into_iter().collect();
        let (mut token, mut waiting) = (None, None);
        if let Some(scope) = scope {
            token = Some(scope.token());
            waiting = scope.deadline().map(|deadline| {
                let mut waiting = Box::pin(Waiting::new(lineup.places().len()));
                waiting.as_mut().project().clock.set_deadline(deadline);
                waiting
            });
        }
        Self {
            lineup,
            next: 0,
            running: 0,
            polled: 0,
            stage: Stage::New,
            held_back: false,
            decided: false,
            timed: waiting.is_some(),
            rules: None,
            token,
            ended: Vec::new(),
            waiting,
        }
    }

    pub(super) fn rules_mut(&mut self) -> &mut Rules<'env, T, E> {
        self.rules.get_or_insert_default()
    }

    pub(super) fn set_timeout(&mut self, limit: Duration) {
        self.clock().set_timeout(limit);
    }

    fn first_completed(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.first_completed)
    }

    fn discard(&self, value: T) {
        if let Some(rules) = &self.rules {
            rules.discard(value);
        }
    }

    /// How many contenders were polled.
    pub(super) fn started(&self) -> usize {
        self.polled
    }

    /// The clock of a race that has something to measure.
    fn clock(&mut self) -> Pin<&mut Clock> {
        self.timed = true;
        self.waiting().project().clock
    }

    fn waiting(&mut self) -> Pin<&mut Waiting> {
        let contenders = self.lineup.places().len();
        self.waiting.get_or_insert_with(|| Box::pin(Waiting::new(contenders))).as_mut()
    }

    /// Drops every contender and the timer.
    fn clear(&mut self) {
        self.stage = Stage::Over;
        if let Some(waiting) = &self.waiting {
            waiting.alarms.forget();
        }
        for place in self.lineup.places_mut() {
            *place = None;
        }
        self.waiting = None;
    }
}

impl<C: fmt::Debug, T, E> Driver<'_, C, T, E> {
    /// Adds the contenders that have not ended, and the settings.
    pub(super) fn debug<'s, 'a, 'b>(
        &self,
        output: &'s mut fmt::DebugStruct<'a, 'b>,
    ) -> &'s mut fmt::DebugStruct<'a, 'b> {
        let (running, waiting) = self.lineup.places().split_at(self.next);
        output
            .field("running", &running.iter().flatten().collect::<Vec<_>>())
            .field("waiting", &waiting.iter().flatten().collect::<Vec<_>>())
            .field("rules", &self.rules)
            .field("token", &self.token)
            .field("clock", &self.waiting)
    }
}

impl<C, T, E> Driver<'_, C, T, E>
where
    C: Contender<T, E>,
{
    /// Drives the race. `begin` lets a contender start, or says no when it must not before all others have
    /// failed.
    ///
    /// # Panics
    ///
    /// With the panic of a contender or rule, after everything was dropped; and when the race is over.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut begin: impl FnMut(usize, &mut C, Cause) -> bool,
    ) -> Poll<Outcome<T>> {
        match catch_unwind(AssertUnwindSafe(|| self.step(cx, &mut begin))) {
            Ok(outcome) => outcome,
            Err(panic) => {
                self.clear();
                resume_unwind(panic)
            }
        }
    }

    /// What became of every contender of a race that is lost.
    pub(crate) fn error(&mut self, limit_hit: bool) -> RaceError<E> {
        let mut ended = mem::take(&mut self.ended);
        ended.sort_unstable_by_key(|(index, ..)| *index);
        RaceError::new(ended.into_iter().map(|(_, name, failure)| (name, failure)).collect(), limit_hit)
    }

    fn step(
        &mut self,
        cx: &mut Context<'_>,
        begin: &mut impl FnMut(usize, &mut C, Cause) -> bool,
    ) -> Poll<Outcome<T>> {
        match self.stage {
            Stage::New => self.begin(),
            Stage::Running => {}
            Stage::Over => panic!("a race that is over was polled again"),
        }
        loop {
            if let Some((index, name, value)) = self.poll_woken() {
                self.clear();
                return Poll::Ready(Outcome::Won { index, name, value });
            }
            let now = self.timed.then(Instant::now);
            if let Some(now) = now.filter(|_| !self.decided) {
                self.expire(now);
            }
            if self.decided {
                return self.lose(false, || Failure::Cancelled);
            }
            if let Some(reason) = self.token.as_ref().and_then(CancelToken::reason) {
                let timeout = reason == CancelReason::Deadline;
                return self.lose(timeout, || if timeout { Failure::TimedOut } else { Failure::Cancelled });
            }
            if self.start_due(now, begin) {
                continue;
            }
            let over = self.end_of_time().filter(|end| now.is_some_and(|now| end.at <= now));
            if self.running == 0 && (over.is_none() || self.next == self.lineup.places().len()) {
                return self.lose(false, || Failure::Cancelled);
            }
            if let Some(end) = over {
                return self
                    .lose(true, || if end.inherited { Failure::TimedOut } else { Failure::Cancelled });
            }
            if self.watch(cx) {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
    }

    fn begin(&mut self) {
        self.stage = Stage::Running;
        if self.timed {
            self.clock().begin(Instant::now());
        }
    }

    /// When the race is over, whatever happens.
    fn end_of_time(&self) -> Option<End> {
        self.waiting.as_ref()?.clock.end()
    }

    /// Ends the race without a winner; what was running failed as `failure` says.
    fn lose(&mut self, limit_hit: bool, failure: impl Fn() -> Failure<E>) -> Poll<Outcome<T>> {
        for index in 0..self.lineup.places().len() {
            let failure = if index < self.polled { failure() } else { Failure::NotStarted };
            self.fail(index, failure);
        }
        self.clear();
        Poll::Ready(Outcome::Lost { limit_hit })
    }

    /// Drops a contender, if it has not ended before, and gives its name.
    fn drop_contender(&mut self, index: usize) -> Option<Cow<'static, str>> {
        let mut contender = self.lineup.places_mut()[index].take()?;
        let name = contender.take_name(index);
        drop(contender);
        if let Some(waiting) = &mut self.waiting {
            let waiting = waiting.as_mut().project();
            waiting.alarms.retire(index);
            waiting.clock.forget_limit(index);
        }
        Some(name)
    }

    /// Notes why a contender did not win and drops it, if it has not ended before.
    fn fail(&mut self, index: usize, failure: Failure<E>) {
        if let Some(name) = self.drop_contender(index) {
            self.ended.push((index, name, failure));
        }
    }

    /// Polls every contender that is due for a poll, and returns the winner if there is one.
    fn poll_woken(&mut self) -> Option<(usize, Cow<'static, str>, T)> {
        let mut winner = None;
        // An alarm that one contender did not need is the next one's.
        let mut spare = None;
        for index in 0..self.next {
            let Some(result) = self.poll_contender(index, &mut spare) else {
                continue;
            };
            self.running -= 1;
            let failure = match result {
                Ok(Ok(value)) if winner.is_some() => {
                    self.discard(value);
                    Failure::Cancelled
                }
                Ok(Ok(value)) if self.rules.as_ref().is_none_or(|rules| rules.accepts(&value)) => {
                    let name = self.drop_contender(index).unwrap_or_default();
                    winner = Some((index, name, value));
                    if self.first_completed() {
                        break;
                    }
                    continue;
                }
                Ok(Ok(value)) => {
                    self.discard(value);
                    Failure::Refused
                }
                Ok(Err(error)) => {
                    self.decided |= self.rules.as_ref().is_some_and(|rules| rules.is_fatal(&error));
                    Failure::Failed(error)
                }
                Err(message) => Failure::Panicked(message),
            };
            if winner.is_none() {
                self.fail(index, failure);
            } else {
                self.drop_contender(index);
            }
            if self.first_completed() {
                self.decided = true;
                break;
            }
        }
        if let Some(spare) = spare {
            Alarm::keep(spare);
        }
        winner
    }

    /// Polls a contender if it is running and due; `None` while it has no outcome, `Err` for a panic's message.
    fn poll_contender(
        &mut self,
        index: usize,
        spare: &mut Option<Arc<Alarm>>,
    ) -> Option<Result<Result<T, E>, String>> {
        let contender = self.lineup.places_mut()[index].as_mut()?;
        let first = index >= self.polled;
        let mut made = None;
        let alarm = if first {
            self.polled = index + 1;
            made.insert(spare.take().unwrap_or_else(Alarm::take))
        } else {
            let alarm = self.waiting.as_ref()?.alarms.get(index)?;
            if !alarm.take_woken() {
                return None;
            }
            alarm
        };
        let outcome = {
            let waker = waker_ref(alarm);
            let mut cx = Context::from_waker(&waker);
            if self.rules.as_ref().is_some_and(|rules| rules.panic_is_failure) {
                match catch_unwind(AssertUnwindSafe(|| contender.poll(&mut cx))) {
                    Ok(outcome) => outcome.map(Ok),
                    Err(panic) => Poll::Ready(Err(panic_message(&*panic))),
                }
            } else {
                contender.poll(&mut cx).map(Ok)
            }
        };
        if let Poll::Ready(outcome) = outcome {
            *spare = made.filter(Alarm::is_reusable);
            return Some(outcome);
        }
        let unheard = Alarm::is_unheard(alarm);
        match made {
            Some(alarm) if unheard => *spare = Some(alarm),
            Some(alarm) => self.waiting().project().alarms.set(index, alarm),
            None if unheard => self.waiting().project().alarms.retire(index),
            None => {}
        }
        None
    }

    /// Ends the contenders whose own limit has come.
    fn expire(&mut self, now: Instant) {
        while let Some(index) = self.clock().take_expired(now) {
            self.fail(index, Failure::TimedOut);
            self.running -= 1;
            self.decided |= self.first_completed();
        }
    }

    /// Starts what may start now; true if anything did.
    fn start_due(
        &mut self,
        mut now: Option<Instant>,
        begin: &mut impl FnMut(usize, &mut C, Cause) -> bool,
    ) -> bool {
        // Once the end has passed nothing new starts; the first contender is always given one poll.
        let too_late = now.zip(self.end_of_time()).is_some_and(|(now, end)| end.at < now);
        if too_late && self.next > 0 {
            return false;
        }
        let before = self.next;
        while let Some(Some(contender)) = self.lineup.places().get(self.next) {
            let Plan { start, limit } = *contender.plan();
            let cause = if self.running == 0 {
                Cause::Failover
            } else if !self.held_back && self.is_due(start, self.next > before, &mut now) {
                Cause::Due
            } else {
                break;
            };
            let Some(Some(contender)) = self.lineup.places_mut().get_mut(self.next) else { break };
            if !begin(self.next, contender, cause) {
                self.held_back = true;
                break;
            }
            if let Some(limit) = limit {
                let (index, now) = (self.next, *now.get_or_insert_with(Instant::now));
                self.clock().limit(index, limit, now);
            }
            self.held_back = false;
            self.running += 1;
            self.next += 1;
        }
        self.next > before
    }

    /// Whether the next contender may start while others are running; `follows` if the one before it starts
    /// right now.
    fn is_due(&mut self, start: Start, follows: bool, now: &mut Option<Instant>) -> bool {
        match start {
            Start::Together => true,
            Start::After(delay) => {
                let now = *now.get_or_insert_with(Instant::now);
                let mut clock = self.clock();
                if follows {
                    clock.as_mut().started(now);
                }
                clock.due(delay).is_some_and(|due| due <= now)
            }
            Start::OnFailure => false,
        }
    }

    /// Arranges the wake-ups; true when one of them was due before it was arranged.
    fn watch(&mut self, cx: &mut Context<'_>) -> bool {
        let mut again = false;
        if let Some(token) = self.token.clone() {
            again |= self.waiting().watch_token(&token, cx);
        }
        if self.timed {
            let due = self.next_due();
            let mut clock = self.clock();
            if let Some(instant) = clock.next_instant(due) {
                again |= clock.as_mut().watch(instant, cx);
            }
        }
        if let Some(waiting) = &self.waiting {
            again |= waiting.alarms.watch(cx.waker());
        }
        again
    }

    /// When the next contender starts while others are running, if that is a matter of time.
    fn next_due(&self) -> Option<Instant> {
        let next = self.lineup.places().get(self.next)?.as_ref()?;
        match next.plan().start {
            Start::After(delay) if !self.held_back => self.waiting.as_ref()?.clock.due(delay),
            _ => None,
        }
    }
}
