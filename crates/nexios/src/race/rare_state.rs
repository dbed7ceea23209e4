//! What a race needs only when it has rules, has to wait or to measure, or has seen a failure.

use std::{
    borrow::Cow,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{task::coop::has_budget_remaining, time::Instant};

use super::{
    clock::{RaceClock, RaceEnd},
    contender::Contender,
    failure::{Failure, RaceError},
    observed::ObservedRace,
    rules::Rules,
};
use crate::{
    cancel::{CancelReason, CancelToken, Limited, limit_to},
    punctual::poll_punctual,
    work::Outcome,
};

pub(super) struct RareState<'env, T, E> {
    pub(super) rules: Rules<'env, T, E>,
    /// `None`: there is nothing to measure.
    pub(super) clock: Option<RaceClock>,
    /// When the race was polled first; known once it had to wait or to measure.
    pub(super) began: Option<Instant>,
    /// Waits for the token of the scope.
    cancelled: Option<Pin<Box<dyn Future<Output = CancelReason> + Send>>>,
    /// Who is polled first in the next poll of the race.
    pub(super) turn: usize,
    /// Whether the next contender was refused its start and has to wait until nobody runs.
    pub(super) held_back: bool,
    /// Those that have ended, in the order of their ends: index, name, why.
    ended: Vec<(usize, Cow<'static, str>, Failure<E>)>,
    /// The name of the race, if it was given one.
    pub(super) name: Option<Cow<'static, str>>,
    /// `None`: nobody observed when it began. Last, as all that is in it is dropped before.
    pub(super) observed: Option<Box<ObservedRace>>,
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
    /// Starts what there is to measure.
    pub(super) fn begin(&mut self) {
        if let Some(clock) = &mut self.clock {
            let now = Instant::now();
            self.began = Some(now);
            clock.begin(now);
        }
    }

    /// The time, if there is something to measure.
    pub(super) fn now(&self) -> Option<Instant> {
        self.clock.is_some().then(Instant::now)
    }

    /// When the race is over, whatever happens.
    pub(super) fn end(&self) -> Option<RaceEnd> {
        self.clock.as_ref()?.end
    }

    /// Whether the next contender is due by its delay; `follows` if the one before it starts right now.
    pub(super) fn is_due(
        &mut self,
        delay: Duration,
        follows: bool,
        now: &mut Option<Instant>,
    ) -> bool {
        let now = *now.get_or_insert_with(Instant::now);
        let clock = self.clock.get_or_insert_default();
        clock.delay.is_over(delay, follows, now)
    }

    /// Notes that a contender starts.
    pub(super) fn started(
        &mut self,
        index: usize,
        limit: Option<Duration>,
        now: &mut Option<Instant>,
    ) {
        self.held_back = false;
        if let Some(clock) = &mut self.clock {
            clock.delay.end();
        }
        if let Some(limit) = limit {
            let now = *now.get_or_insert_with(Instant::now);
            self.clock.get_or_insert_default().limit(index, limit, now);
        }
    }

    /// Notes why a contender that was dropped did not win.
    pub(super) fn ended(
        &mut self,
        index: usize,
        name: Cow<'static, str>,
        failure: Failure<E>,
        outcome: &Outcome<'_>,
    ) {
        if let Some(clock) = &mut self.clock {
            clock.forget_limit(index);
        }
        self.ended.push((index, name, failure));
        if let Some(observed) = &mut self.observed {
            observed.ended(index, outcome);
        }
    }

    /// What became of every contender of a race that is lost.
    pub(super) fn error(&mut self, limit_hit: bool) -> RaceError<E> {
        let mut ended = mem::take(&mut self.ended);
        ended.sort_unstable_by_key(|(index, ..)| *index);
        RaceError::new(
            ended
                .into_iter()
                .map(|(_, name, failure)| (name, failure))
                .collect(),
            limit_hit,
        )
    }

    /// Arranges what has the race polled again besides its contenders, of which so many have started.
    pub(super) fn wait(
        &mut self,
        token: Option<&CancelToken>,
        started: usize,
        cx: &mut Context<'_>,
    ) {
        self.began.get_or_insert_with(Instant::now);
        let mut again = false;
        if let Some(token) = token {
            let cancelled = self.cancelled.get_or_insert_with(|| {
                let token = token.clone();
                Box::pin(async move { token.cancelled().await })
            });
            // Polled even if it was just looked at, as that leaves the waker.
            again |= poll_punctual(Pin::new(cancelled), cx).is_ready();
        }
        if let Some(clock) = &mut self.clock {
            again |= clock.watch(self.held_back, cx);
        }
        // Fired or due since it was looked at.
        if again {
            cx.waker().wake_by_ref();
        }
        // Somebody of us, or a neighbour, is always ready: whoever came last in this poll found nothing left.
        self.turn = if has_budget_remaining() {
            0
        } else {
            (self.turn + 1) % started
        };
    }

    /// Drops the timer, and the watch of the token.
    pub(super) fn stop(&mut self) {
        self.clock = None;
        self.cancelled = None;
    }
}

/// Tells a contender, while it is polled, when its time is up; a race that measures nothing has nothing to tell.
#[inline]
pub(super) fn limited<T, E>(rest: Option<&RareState<'_, T, E>>, index: usize) -> Option<Limited> {
    let limit = rest?.clock.as_ref()?.limit_of(index)?;
    Some(limit_to(Some(limit)))
}

/// Polls a contender, as the work it is if somebody observes.
#[inline]
pub(super) fn poll<C: Contender<T, E>, T, E>(
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
