//! The state machine of a race: starts the contenders in the order of the list, polls those that run, and decides.
//!
//! # Invariants
//!
//! 1. Contenders start in list order: all before `next` have started, none from `next` on.
//! 2. A poll of the race polls every contender that runs, once, before it decides; so a success beats whatever else
//!    happens in the same instant, and among successes the lowest index wins.
//! 3. The lowest index is polled first, unless the last poll of the race used up the task's cooperative budget: then
//!    another contender has the first turn, so nobody who is always ready keeps the others from theirs.
//! 4. Before the outcome is returned, or a panic resumed, every future and timer of the race is dropped.
//! 5. Without times no timer is made, so no runtime is needed.

use std::{
    borrow::Cow,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use smallvec::SmallVec;
use tokio::{task::coop::has_budget_remaining, time::Instant};

use super::{
    clock::{RaceClock, RaceEnd},
    contender::{Contender, Plan, StartRule},
    failure::{Failure, RaceError},
    observed::{Billing, ObservedRace},
    rules::Rules,
};
use crate::{
    cancel::{CancelReason, CancelScope, CancelToken, Limited, limit_to},
    punctual::poll_punctual,
    work::{Outcome, observers::anybody},
};

/// So many places lie in the race itself, without an allocation.
const FEW: usize = 4;

/// Why a contender starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Its time has come while others are running.
    Due,
    /// Nobody is running: it is the first, or all before it have failed.
    Failover,
}

/// How a race ended.
pub(crate) enum Decision<T> {
    Won {
        index: usize,
        name: Cow<'static, str>,
        value: T,
    },
    Lost {
        limit_hit: bool,
    },
}

/// One race under way. It is moved about before it is polled, and most races are won at once: so it is small.
pub(crate) struct RaceDriver<'env, C, T, E> {
    /// Those that have not ended, each in its place; empty when the race is over.
    places: SmallVec<[Option<C>; FEW]>,
    /// The first contender that has not started; to start is to be polled.
    next: usize,
    stage: RaceStage,
    /// Set by an outcome that ends the race without a winner.
    decided: bool,
    /// The token of the surrounding scope.
    token: Option<CancelToken>,
    /// What a race needs only when it has rules, has to wait or to measure, or has seen a failure.
    rest: Option<Box<RareState<'env, T, E>>>,
}

struct RareState<'env, T, E> {
    rules: Rules<'env, T, E>,
    /// `None`: there is nothing to measure.
    clock: Option<RaceClock>,
    /// When the race was polled first; known once it had to wait or to measure.
    began: Option<Instant>,
    /// Waits for the token of the scope.
    cancelled: Option<Pin<Box<dyn Future<Output = CancelReason> + Send>>>,
    /// Who is polled first in the next poll of the race.
    turn: usize,
    /// Whether the next contender was refused its start and has to wait until nobody runs.
    held_back: bool,
    /// Those that have ended, in the order of their ends: index, name, why.
    ended: Vec<(usize, Cow<'static, str>, Failure<E>)>,
    /// The name of the race, if it was given one.
    name: Option<Cow<'static, str>>,
    /// `None`: nobody observed when it began. Last, as all that is in it is dropped before.
    observed: Option<Box<ObservedRace>>,
}

impl<T, E> Default for RareState<'_, T, E> {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            clock: None,
            began: None,
            cancelled: None,
            turn: 0,
            held_back: false,
            ended: Vec::new(),
            name: None,
            observed: None,
        }
    }
}

impl<T, E> RareState<'_, T, E> {
    /// Whether the next contender is due by its delay; `follows` if the one before it starts right now.
    fn is_due(&mut self, delay: Duration, follows: bool, now: &mut Option<Instant>) -> bool {
        let now = *now.get_or_insert_with(Instant::now);
        let clock = self.clock.get_or_insert_default();
        clock.delay.is_over(delay, follows, now)
    }

    /// Notes that a contender starts.
    fn started(&mut self, index: usize, limit: Option<Duration>, now: &mut Option<Instant>) {
        self.held_back = false;
        if let Some(clock) = &mut self.clock {
            clock.delay.end();
        }
        if let Some(limit) = limit {
            let now = *now.get_or_insert_with(Instant::now);
            self.clock.get_or_insert_default().limit(index, limit, now);
        }
    }
}

/// Tells a contender, while it is polled, when its time is up; a race that measures nothing has nothing to tell.
#[inline]
fn limited<T, E>(rest: Option<&RareState<'_, T, E>>, index: usize) -> Option<Limited> {
    let limit = rest?.clock.as_ref()?.limit_of(index)?;
    Some(limit_to(Some(limit)))
}

/// Polls a contender, as the work it is if somebody observes.
#[inline]
fn poll<C: Contender<T, E>, T, E>(
    contender: &mut C,
    index: usize,
    rest: Option<&mut RareState<'_, T, E>>,
    cx: &mut Context<'_>,
) -> Poll<Result<T, E>> {
    match rest.and_then(|rest| rest.observed.as_mut()) {
        None => contender.poll(cx),
        Some(observed) => observed.poll(index, || contender.poll(cx)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RaceStage {
    New,
    Running,
    Over,
}

impl<'env, C, T, E> RaceDriver<'env, C, T, E> {
    /// Lines the contenders up for a race that ends with `scope`.
    // Always: the list is then made where the caller keeps it, a fifth of the whole race of three.
    #[inline(always)]
    pub(crate) fn new(contenders: impl IntoIterator<Item = C>, scope: Option<CancelScope>) -> Self {
        let mut places = SmallVec::new();
        for contender in contenders {
            places.push(Some(contender));
        }
        let mut driver = Self {
            places,
            next: 0,
            stage: RaceStage::New,
            decided: false,
            token: None,
            rest: None,
        };
        if let Some(scope) = scope {
            driver.token = Some(scope.token());
            if let Some(deadline) = scope.deadline() {
                driver.clock().deadline = Some(deadline);
            }
        }
        driver
    }

    pub(super) fn rules_mut(&mut self) -> &mut Rules<'env, T, E> {
        &mut self.rest().rules
    }

    pub(super) fn set_name(&mut self, name: Cow<'static, str>) {
        self.rest().name = Some(name);
    }

    pub(super) fn set_timeout(&mut self, limit: Duration) {
        self.clock().timeout = Some(limit);
    }

    /// When the race was polled first, if it was and had to wait.
    pub(super) fn began(&self) -> Option<Instant> {
        self.rest.as_ref()?.began
    }

    /// How many contenders were polled.
    pub(super) fn started(&self) -> usize {
        self.next
    }

    fn rest(&mut self) -> &mut RareState<'env, T, E> {
        self.rest.get_or_insert_default()
    }

    fn rules(&self) -> Option<&Rules<'env, T, E>> {
        self.rest.as_ref().map(|rest| &rest.rules)
    }

    fn observed(&mut self) -> Option<&mut ObservedRace> {
        self.rest.as_mut()?.observed.as_deref_mut()
    }

    /// The clock of a race that has something to measure.
    fn clock(&mut self) -> &mut RaceClock {
        self.rest().clock.get_or_insert_default()
    }

    fn first_completed(&self) -> bool {
        self.rules().is_some_and(|rules| rules.first_completed)
    }

    fn discard(&self, value: T) {
        if let Some(rules) = self.rules() {
            rules.discard(value);
        }
    }

    /// Drops every contender and the timer.
    #[inline]
    fn clear(&mut self) {
        self.stage = RaceStage::Over;
        drop(mem::take(&mut self.places));
        if let Some(rest) = &mut self.rest {
            rest.clock = None;
            rest.cancelled = None;
        }
    }
}

impl<C: fmt::Debug, T, E> RaceDriver<'_, C, T, E> {
    /// Adds the contenders that have not ended, and the settings.
    pub(super) fn debug<'s, 'a, 'b>(
        &self,
        output: &'s mut fmt::DebugStruct<'a, 'b>,
    ) -> &'s mut fmt::DebugStruct<'a, 'b> {
        let (running, waiting) = self.places.split_at(self.next.min(self.places.len()));
        output
            .field("running", &running.iter().flatten().collect::<Vec<_>>())
            .field("waiting", &waiting.iter().flatten().collect::<Vec<_>>())
            .field("rules", &self.rules())
            .field("token", &self.token)
            .field(
                "clock",
                &self.rest.as_ref().and_then(|rest| rest.clock.as_ref()),
            )
    }
}

impl<C: Contender<T, E>, T, E> RaceDriver<'_, C, T, E> {
    /// Drives the race. `begin` lets a contender start, or says no when it must not before all others have
    /// failed.
    ///
    /// # Panics
    ///
    /// With the panic of a contender or rule, after everything was dropped; and when the race is over.
    #[inline]
    pub(crate) fn poll<'b>(
        &mut self,
        cx: &mut Context<'_>,
        billing: impl FnOnce() -> Billing<'b>,
        mut begin: impl FnMut(usize, &mut C, Occasion) -> bool,
    ) -> Poll<Decision<T>> {
        if self.stage == RaceStage::New && anybody() {
            self.announce(billing());
        }
        if let Some(observed) = self.observed() {
            observed.enter();
        }
        let unwinding = ClearOnPanic(self);
        let polled = unwinding.0.step(cx, &mut begin);
        if let Some(observed) = unwinding.0.observed() {
            observed.leave();
        }
        // Nothing unwinds.
        mem::forget(unwinding);
        polled
    }

    /// What became of every contender of a race that is lost.
    pub(crate) fn error(&mut self, limit_hit: bool) -> RaceError<E> {
        let mut ended = mem::take(&mut self.rest().ended);
        ended.sort_unstable_by_key(|(index, ..)| *index);
        RaceError::new(
            ended
                .into_iter()
                .map(|(_, name, failure)| (name, failure))
                .collect(),
            limit_hit,
        )
    }

    /// Tells whoever observes that the race begins.
    #[cold]
    fn announce(&mut self, billing: Billing<'_>) {
        let rest = self.rest.get_or_insert_default();
        let name = billing.name.or(rest.name.as_deref());
        let billing = Billing { name, ..billing };
        rest.observed = Some(Box::new(ObservedRace::begin(
            &billing,
            &self.places,
            self.token.clone(),
        )));
    }

    #[inline]
    fn step(
        &mut self,
        cx: &mut Context<'_>,
        begin: &mut impl FnMut(usize, &mut C, Occasion) -> bool,
    ) -> Poll<Decision<T>> {
        let mut winner = None;
        // Before any decision (invariant 2): a success must beat a limit or a token of the same instant.
        match self.stage {
            RaceStage::New => self.begin(),
            RaceStage::Running => self.poll_running(cx, &mut winner),
            RaceStage::Over => panic!("a race that is over was polled again"),
        }
        loop {
            if let Some((index, value)) = winner {
                // Out of its place before all places are dropped.
                let name = self.places[index]
                    .as_mut()
                    .map(|winner| winner.take_name(index))
                    .unwrap_or_default();
                self.clear();
                if let Some(observed) = self.observed() {
                    observed.ended(index, &Outcome::Won);
                    observed.over(&Outcome::Completed, &Outcome::Lost);
                }
                return Poll::Ready(Decision::Won { index, name, value });
            }
            // Read anew in every round: what was polled in the last one has taken time.
            let now = self.now();
            if let Some(now) = now.filter(|_| !self.decided) {
                self.expire(now);
            }
            // After the own limits, so that one which came in this instant is told as such and not as cancelled.
            if self.decided {
                let others = Outcome::Cancelled(CancelReason::SiblingFailed);
                return self.lose(
                    false,
                    || Failure::Cancelled,
                    &Outcome::Failed(None),
                    &others,
                );
            }
            if let Some(reason) = self.token.as_ref().and_then(CancelToken::reason) {
                let timeout = reason == CancelReason::Deadline;
                let failure = || {
                    if timeout {
                        Failure::TimedOut
                    } else {
                        Failure::Cancelled
                    }
                };
                let cancelled = Outcome::Cancelled(reason);
                return self.lose(timeout, failure, &cancelled, &cancelled);
            }
            // Starting comes after all other decisions, so that nothing is polled once it is over. Those that have
            // started may have failed at once, so it is all looked at again.
            if self.start_due(now, begin, cx, &mut winner) {
                continue;
            }
            // After the start of what is due: the first contender has one poll even if its time is up.
            let over = self
                .end()
                .filter(|end| now.is_some_and(|now| end.at <= now));
            if !self.is_running() && (over.is_none() || self.next == self.places.len()) {
                // Nobody is left, so the last outcome is nobody's.
                let failed = Outcome::Failed(None);
                return self.lose(false, || Failure::Cancelled, &failed, &failed);
            }
            if let Some(end) = over {
                let failure = || {
                    if end.inherited {
                        Failure::TimedOut
                    } else {
                        Failure::Cancelled
                    }
                };
                let cancelled = Outcome::Cancelled(CancelReason::Deadline);
                let outcome = if end.inherited {
                    cancelled
                } else {
                    Outcome::TimedOut
                };
                return self.lose(true, failure, &outcome, &cancelled);
            }
            // Last, when it is certain that the race waits: most races make no timer.
            self.wait(cx);
            return Poll::Pending;
        }
    }

    /// Whether anybody runs.
    fn is_running(&self) -> bool {
        self.places.iter().take(self.next).any(Option::is_some)
    }

    fn begin(&mut self) {
        self.stage = RaceStage::Running;
        if self.rest.as_ref().is_some_and(|rest| rest.clock.is_some()) {
            let now = Instant::now();
            self.rest().began = Some(now);
            self.clock().begin(now);
        }
    }

    /// The time, if there is something to measure.
    fn now(&self) -> Option<Instant> {
        let timed = self.rest.as_ref().is_some_and(|rest| rest.clock.is_some());
        timed.then(Instant::now)
    }

    /// When the race is over, whatever happens.
    fn end(&self) -> Option<RaceEnd> {
        self.rest.as_ref()?.clock.as_ref()?.end
    }

    /// Ends the race without a winner; what was running failed as `failure` says.
    #[cold]
    fn lose(
        &mut self,
        limit_hit: bool,
        failure: impl Fn() -> Failure<E>,
        outcome: &Outcome<'_>,
        others: &Outcome<'_>,
    ) -> Poll<Decision<T>> {
        for index in 0..self.places.len() {
            let failure = if index < self.next {
                failure()
            } else {
                Failure::NotStarted
            };
            self.fail(index, failure, others);
        }
        self.clear();
        if let Some(observed) = self.observed() {
            observed.over(outcome, others);
        }
        Poll::Ready(Decision::Lost { limit_hit })
    }

    /// Drops a contender and notes why it did not win, if it has not ended before.
    #[cold]
    fn fail(&mut self, index: usize, failure: Failure<E>, outcome: &Outcome<'_>) {
        let Some(mut contender) = self.places[index].take() else {
            return;
        };
        let name = contender.take_name(index);
        // Before it is noted as ended: its destructor may panic, and then it was not.
        drop(contender);
        let rest = self.rest();
        if let Some(clock) = &mut rest.clock {
            clock.forget_limit(index);
        }
        rest.ended.push((index, name, failure));
        if let Some(observed) = &mut rest.observed {
            observed.ended(index, outcome);
        }
    }

    /// Polls everyone that runs.
    fn poll_running(&mut self, cx: &mut Context<'_>, winner: &mut Option<(usize, T)>) {
        // From whose turn it is, round to the one before (invariant 3).
        let turn = self.rest.as_ref().map_or(0, |rest| rest.turn);
        let mut first_finisher = usize::MAX;
        for index in (turn..self.next).chain(0..turn) {
            let _limited = limited(self.rest.as_deref(), index);
            let Some(contender) = &mut self.places[index] else {
                continue;
            };
            let Poll::Ready(result) = poll(contender, index, self.rest.as_deref_mut(), cx) else {
                continue;
            };
            first_finisher = first_finisher.min(index);
            // Out of order, one that is lower may have finished as well.
            if self.finish(index, result, winner) && turn == 0 {
                break;
            }
        }
        // The first in the list of those that have finished decides, also if it was polled last and has failed.
        if self.first_completed()
            && let Some((_, late)) = winner.take_if(|(index, _)| *index > first_finisher)
        {
            self.discard(late);
        }
    }

    /// Judges what a contender has returned; true when the first to finish decides.
    #[inline]
    fn finish(
        &mut self,
        index: usize,
        result: Result<T, E>,
        winner: &mut Option<(usize, T)>,
    ) -> bool {
        match result {
            Ok(value) if winner.as_ref().is_some_and(|(lower, _)| *lower < index) => {
                self.discard(value);
            }
            Ok(value) if self.rules().is_none_or(|rules| rules.accepts(&value)) => {
                if let Some((_, higher)) = winner.replace((index, value)) {
                    self.discard(higher);
                }
            }
            Ok(value) => {
                self.discard(value);
                self.fail(index, Failure::Refused, &Outcome::Refused);
            }
            Err(error) => {
                self.decided |= self.rules().is_some_and(|rules| rules.is_fatal(&error));
                self.fail(index, Failure::Failed(error), &Outcome::Failed(None));
            }
        }
        let decides = self.first_completed();
        self.decided |= decides;
        decides
    }

    /// Ends the contenders whose own limit has come.
    fn expire(&mut self, now: Instant) {
        while let Some(index) = self.clock().take_expired(now) {
            self.fail(index, Failure::TimedOut, &Outcome::TimedOut);
            self.decided |= self.first_completed();
        }
    }

    /// Starts what may start now, which is to poll it; true if anything did.
    #[inline]
    fn start_due(
        &mut self,
        mut now: Option<Instant>,
        begin: &mut impl FnMut(usize, &mut C, Occasion) -> bool,
        cx: &mut Context<'_>,
        winner: &mut Option<(usize, T)>,
    ) -> bool {
        // Once the end has passed nothing new starts; the first contender is always given one poll.
        let too_late = now.zip(self.end()).is_some_and(|(now, end)| end.at < now);
        if too_late && self.next > 0 {
            return false;
        }
        let (before, nobody_runs) = (self.next, !self.is_running());
        while let Some(Some(contender)) = self.places.get_mut(self.next) {
            let index = self.next;
            let &Plan { start, limit } = contender.plan();
            // Those that start in one go are judged together, so only the first of them starts for a failure.
            let cause = if index == before && nobody_runs {
                Occasion::Failover
            } else {
                let due = match start {
                    StartRule::Together => true,
                    StartRule::After(delay) => {
                        self.rest
                            .get_or_insert_default()
                            .is_due(delay, index > before, &mut now)
                    }
                    StartRule::OnFailure => false,
                };
                if !due || self.rest.as_ref().is_some_and(|rest| rest.held_back) {
                    break;
                }
                Occasion::Due
            };
            if !begin(index, contender, cause) {
                self.rest().held_back = true;
                break;
            }
            if limit.is_some() || self.rest.is_some() {
                self.rest
                    .get_or_insert_default()
                    .started(index, limit, &mut now);
            }
            // Started from here on: if the poll panics, it is dropped as one that ran.
            self.next += 1;
            let _limited = limited(self.rest.as_deref(), index);
            if let Some(observed) = self.rest.as_ref().and_then(|rest| rest.observed.as_ref()) {
                observed.started(index);
            }
            if let Poll::Ready(result) = poll(contender, index, self.rest.as_deref_mut(), cx)
                && self.finish(index, result, winner)
            {
                break;
            }
        }
        self.next > before
    }

    /// Arranges what has the race polled again besides its contenders.
    fn wait(&mut self, cx: &mut Context<'_>) {
        let rest = self.rest.get_or_insert_default();
        rest.began.get_or_insert_with(Instant::now);
        let mut again = false;
        if let Some(token) = &self.token {
            let cancelled = rest.cancelled.get_or_insert_with(|| {
                let token = token.clone();
                Box::pin(async move { token.cancelled().await })
            });
            // Polled even if it was just looked at, as that leaves the waker.
            again |= poll_punctual(Pin::new(cancelled), cx).is_ready();
        }
        if let Some(clock) = &mut rest.clock {
            again |= clock.watch(rest.held_back, cx);
        }
        // Fired or due since it was looked at.
        if again {
            cx.waker().wake_by_ref();
        }
        // Somebody of us, or a neighbour, is always ready: whoever came last in this poll found nothing left.
        rest.turn = if has_budget_remaining() {
            0
        } else {
            (rest.turn + 1) % self.next
        };
    }
}

/// Drops everything of a race whose poll unwinds.
struct ClearOnPanic<'d, 'env, C, T, E>(&'d mut RaceDriver<'env, C, T, E>);

impl<C, T, E> Drop for ClearOnPanic<'_, '_, C, T, E> {
    fn drop(&mut self) {
        // A second panic while unwinding would end the process.
        crate::log::contain(
            || self.0.clear(),
            |panic| {
                tracing::error!(
                    panic,
                    "a destructor panicked while a race was dropped for a panic"
                );
            },
        );
        if let Some(observed) = self.0.observed() {
            observed.panicked();
        }
    }
}
