//! What whoever observes is told of a race and of those who run in it.

use std::{panic::Location, panic::resume_unwind};

use smallvec::SmallVec;

use super::contender::Contender;
use crate::{
    cancel::{CancelReason, CancelToken},
    panics::{caught, text_of},
    work::{
        Outcome, WorkKind,
        observed::{Entered, New, Observed, Parent},
    },
};

/// How a race, and those who run in it, are announced.
pub(crate) struct Billing<'a> {
    pub(crate) race: WorkKind,
    pub(crate) contender: WorkKind,
    /// The name of the race or of the hedge, if it was given one.
    pub(crate) name: Option<&'a str>,
    /// The hedge whose call it is.
    pub(crate) owner: Option<&'a str>,
    pub(crate) made_at: &'static Location<'static>,
}

// Cold, all of it: what only observed races need must not lie in the way of the others.

/// A race that somebody observes. Those who run in it end before it does, after what they were made of.
pub(super) struct ObservedRace {
    contenders: SmallVec<[Option<Observed>; 4]>,
    race: Option<Observed>,
    /// It is being polled, and has not ended.
    entered: Option<Entered>,
    /// Says why it is cancelled, if it is dropped before it has ended.
    token: Option<CancelToken>,
    /// Who panicked, and with what.
    panicked: Option<(usize, String)>,
}

impl ObservedRace {
    /// Says that the race and all who are lined up in it are made; nobody is told if nobody observes.
    pub(super) fn begin<C: Contender<T, E>, T, E>(
        billing: &Billing<'_>,
        lined_up: &[Option<C>],
        token: Option<CancelToken>,
    ) -> Self {
        let race = Observed::made(|| New {
            id: None,
            parent: Parent::Current,
            kind: billing.race,
            name: billing.name,
            owner: billing.owner,
            made_at: Some(billing.made_at),
        });
        race.started();
        let contenders = lined_up.iter().enumerate().map(|(index, contender)| {
            contender.as_ref().map(|contender| {
                Observed::made(|| New {
                    id: None,
                    parent: Parent::Of(race.id()),
                    kind: billing.contender,
                    name: Some(contender.name(index)),
                    owner: billing.owner,
                    made_at: None,
                })
            })
        });
        Self {
            contenders: contenders.collect(),
            race: Some(race),
            entered: None,
            token,
            panicked: None,
        }
    }

    /// Whoever is made by the rules of the race is its part, until it ends or is left.
    #[cold]
    #[inline(never)]
    pub(super) fn enter(&mut self) {
        self.entered = self.race.as_ref().and_then(Observed::enter);
    }

    #[cold]
    #[inline(never)]
    pub(super) fn leave(&mut self) {
        self.entered = None;
    }

    #[cold]
    #[inline(never)]
    pub(super) fn started(&self, index: usize) {
        if let Some(Some(contender)) = self.contenders.get(index) {
            contender.started();
        }
    }

    /// Polls a contender as the work it is.
    #[cold]
    #[inline(never)]
    pub(super) fn poll<R>(&mut self, index: usize, poll: impl FnOnce() -> R) -> R {
        let entered = self
            .contenders
            .get(index)
            .and_then(Option::as_ref)
            .and_then(Observed::enter);
        let result = caught(poll);
        drop(entered);
        result.unwrap_or_else(|payload| {
            // It has ended when it has been dropped.
            self.panicked = Some((index, text_of(&*payload).to_owned()));
            resume_unwind(payload)
        })
    }

    /// A contender has ended, for itself.
    #[cold]
    #[inline(never)]
    pub(super) fn ended(&mut self, index: usize, outcome: &Outcome<'_>) {
        if let Some(contender) = self.contenders.get_mut(index).and_then(Option::take) {
            contender.ended(outcome);
        }
    }

    /// The race is over, and what its contenders were made of is gone.
    #[cold]
    #[inline(never)]
    pub(super) fn over(&mut self, race: &Outcome<'_>, others: &Outcome<'_>) {
        for contender in self.contenders.iter_mut().filter_map(Option::take) {
            contender.ended(others);
        }
        self.leave();
        if let Some(race_itself) = self.race.take() {
            race_itself.ended(race);
        }
    }

    /// Its poll unwinds, and everything was dropped.
    #[cold]
    #[inline(never)]
    pub(super) fn panicked(&mut self) {
        let panicked = self.panicked.take();
        let text = panicked
            .as_ref()
            .map(|(_, text)| text.as_str())
            .unwrap_or_default();
        let outcome = Outcome::Panicked(text);
        if let Some((index, _)) = &panicked {
            self.ended(*index, &outcome);
        }
        self.over(&outcome, &Outcome::Cancelled(CancelReason::SiblingFailed));
    }
}

impl Drop for ObservedRace {
    fn drop(&mut self) {
        let reason = self
            .token
            .as_ref()
            .and_then(CancelToken::reason)
            .unwrap_or(CancelReason::OwnerDropped);
        let cancelled = Outcome::Cancelled(reason);
        self.over(&cancelled, &cancelled);
    }
}
