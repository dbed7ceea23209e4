//! One request as a waterfall.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use nexios::{
    CancelReason,
    observe::{WorkId, WorkKind},
};

use super::{
    critical::{Bar, critical},
    trace::trace,
};
use crate::{
    model::{self, Answer, RaceKind, Request, Sensitive, State, Trace, milliseconds},
    store::{Store, moment::Moment, span::Span, tree::Tree},
};

impl Store {
    /// A request that runs or is kept.
    pub(crate) fn request(&self, id: u64) -> Option<Answer<Request>> {
        let rev = self.rev();
        let root = WorkId(id);
        let now = self.clock.now();
        let running = self
            .lives
            .look(root, |live| {
                (live.kind == WorkKind::Request).then(|| live.clone())
            })
            .flatten();
        let tree = running
            .as_ref()
            .and_then(|live| live.tree.clone())
            .or_else(|| self.routes.find(root))?;
        // The living first: what ends in between is in both, and not in neither.
        let part = |live: &Arc<Tree>| Arc::ptr_eq(live, &tree);
        let living = self
            .lives
            .copies(|id, live| id != root && live.tree.as_ref().is_some_and(part));
        let kept = tree.kept();
        let mut spans = kept.spans;
        let ended: HashSet<WorkId> = spans.iter().map(|span| span.id).collect();
        let living = living.into_iter().filter(|(id, _)| !ended.contains(id));
        let waits = running.as_ref().and_then(|live| live.open_wait(root));
        spans.extend(waits);
        for (id, live) in living {
            spans.extend(live.open_wait(id));
            spans.push(live.into_living_span(id));
        }

        let (state, reason, error) = match (&kept.answer, &running) {
            (Some(answer), _) => (
                answer.end.state,
                answer.end.reason,
                answer.end.error.as_deref(),
            ),
            (None, Some(live)) => (
                live.state(),
                live.cancelling.map(|(reason, _)| reason),
                None,
            ),
            (None, None) => (State::Running, None, None),
        };
        let cancelled = match &kept.answer {
            Some(answer) => answer.cancelled,
            None => running
                .as_ref()
                .and_then(|live| live.cancelling)
                .map(|(_, moment)| moment),
        };
        let ended = kept.answer.as_ref().map_or(now, |answer| answer.ended);
        let content = Request {
            id,
            route: tree.route.to_string(),
            uri: kept.facts.uri.as_deref().map(Sensitive::new),
            status: kept
                .answer
                .as_ref()
                .map_or(kept.facts.status, |answer| answer.status(&kept.facts)),
            state,
            reason,
            error: error.map(Sensitive::new),
            started_unix_ms: self.clock.unix_ms(tree.made),
            duration_ms: milliseconds(cancelled.unwrap_or(ended).since(tree.made)),
            cleanup_ms: cancelled.map(|cancelled| milliseconds(ended.since(cancelled))),
            deadline_ms: kept.facts.deadline.map(milliseconds),
            response_bytes: kept.facts.response_bytes,
            dropped_spans: kept.dropped,
            spans: self.waterfall(
                &tree,
                spans,
                kept.answer.as_ref().map(|answer| answer.ended),
                now,
            ),
        };
        Some(Answer::new(rev, content))
    }

    /// The same for Perfetto.
    pub(crate) fn trace(&self, id: u64) -> Option<Trace> {
        self.request(id).map(|request| trace(&request.content))
    }

    fn waterfall(
        &self,
        tree: &Tree,
        mut spans: Vec<Span>,
        answered: Option<Moment>,
        now: Moment,
    ) -> Vec<model::Span> {
        // Numbers grow, so that of those made in the same moment parents come first. A wait has the number of what was waited for,
        // which may be older than who waits.
        let is_wait = |span: &Span| span.kind == WorkKind::Computation;
        spans.sort_by_key(|span| (span.made, is_wait(span), span.id));
        // A computation that several parts waited for is shown where it was waited for first, and so for the longest.
        let mut shown = HashSet::new();
        spans.retain(|span| shown.insert(span.id));
        let places: HashMap<WorkId, usize> = spans
            .iter()
            .enumerate()
            .map(|(place, span)| (span.id, place))
            .collect();
        let parent = |place: usize, span: &Span| {
            span.parent
                .and_then(|parent| places.get(&parent))
                .copied()
                .filter(|parent| *parent < place)
        };
        let is_critical = {
            let mut bars = vec![Bar {
                parent: None,
                made: tree.made,
                ended: answered.unwrap_or(now),
                awaited: true,
            }];
            bars.extend(spans.iter().enumerate().map(|(place, span)| Bar {
                parent: Some(parent(place, span).map_or(0, |parent| parent + 1)),
                made: awaited_from(span, now),
                ended: span.ended.unwrap_or(now),
                awaited: is_awaited(span),
            }));
            critical(&bars, 0)
        };
        let winners: HashMap<usize, u64> = spans
            .iter()
            .enumerate()
            .filter(|(_, span)| span.end.state == State::Won)
            .filter_map(|(place, span)| Some((parent(place, span)?, span.id.0)))
            .collect();
        let since_start = |moment: Moment| milliseconds(moment.since(tree.made));
        let span = |(place, span): (usize, &Span)| {
            let parent = parent(place, span);
            let saved = parent.and_then(|parent| self.saved(span, &spans[parent]));
            model::Span {
                id: span.id.0,
                parent: parent.map_or(tree.root.0, |parent| spans[parent].id.0),
                kind: span.kind,
                name: span.name.to_string(),
                owner: span.owner.as_ref().map(ToString::to_string),
                state: span.end.state,
                reason: span.end.reason,
                error: span.end.error.as_deref().map(Sensitive::new),
                made_ms: since_start(span.made),
                started_ms: span.started.map(since_start),
                ended_ms: span.ended.map(since_start),
                critical: is_critical[place + 1],
                winner: winners.get(&place).copied(),
                saved_ms: saved.map(milliseconds),
                after_answer: answered
                    .is_some_and(|answered| span.ended.is_none_or(|ended| ended > answered)),
            }
        };
        spans.iter().enumerate().map(span).collect()
    }

    /// What a loser had still needed, by what it takes when it wins.
    fn saved(&self, loser: &Span, race: &Span) -> Option<Duration> {
        let ran = loser.ended?.since(loser.started?);
        let kind = race_kind(race.kind).filter(|_| loser.end.state == State::Lost)?;
        let usually = self.contests.usually(
            kind,
            contest_name(&race.name, race.owner.as_deref()),
            &loser.name,
        )?;
        usually.checked_sub(ran)
    }
}

/// A finalizer is made long before it is due: until then nobody waits for it.
fn awaited_from(span: &Span, now: Moment) -> Moment {
    match span.kind {
        WorkKind::Finalizer => span.started.or(span.ended).unwrap_or(now),
        _ => span.made,
    }
}

fn is_awaited(span: &Span) -> bool {
    let with_others = matches!(
        span.end.reason,
        Some(CancelReason::SiblingFailed | CancelReason::Finished)
    );
    match span.end.state {
        State::Lost => false,
        // A value that its race did not accept; a pool's queue, on the other hand, was waited in.
        State::Refused => span.kind != WorkKind::Candidate,
        State::Cancelled => !with_others,
        _ => true,
    }
}

pub(in crate::store) fn race_kind(kind: WorkKind) -> Option<RaceKind> {
    match kind {
        WorkKind::Race => Some(RaceKind::Race),
        WorkKind::Hedge => Some(RaceKind::Hedge),
        _ => None,
    }
}

/// Calls of a hedge count together under the hedge's name.
pub(in crate::store) fn contest_name<'a>(name: &'a str, owner: Option<&'a str>) -> &'a str {
    owner.unwrap_or(name)
}
