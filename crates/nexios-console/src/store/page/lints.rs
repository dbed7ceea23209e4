//! What is wrong right now, in plain words with the place.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use nexios::{
    CancelReason, LazyStats,
    observe::{self, Living, WorkId, WorkKind},
};

use crate::{
    model::{Answer, Lint, LintKind, Lints},
    store::{Store, history::too_long_since, live::Live, moment::Moment, slow_polls::SlowPoll},
};

/// How long something may go on after its deadline or its cancel before it is called late.
const PATIENCE: Duration = Duration::from_secs(1);

/// From so many computations on, a lazy value may be said to recompute too often.
const COMPUTATIONS: u64 = 5;

/// Since when lazy values recompute too often, as far as somebody has looked.
#[derive(Debug, Default)]
pub(in crate::store) struct Flapping(Mutex<HashMap<WorkId, Moment>>);

impl Store {
    pub(crate) fn lints(&self) -> Answer<Lints> {
        let rev = self.rev();
        let now = self.clock.now();
        let snapshot = observe::snapshot();
        self.history.take(&snapshot.pools, now);
        let late = self.lives.copies(|_, live| Late::of(live, now).is_some());
        let mut found: Vec<(Moment, Lint)> = Vec::new();
        found.extend(late.iter().filter_map(|(id, live)| {
            let late = Late::of(live, now)?;
            Some((
                late.since,
                Lint {
                    request: live.request().map(|id| id.0),
                    ..self.lint(late.kind, late.text(live), Some(*id), None, late.since)
                },
            ))
        }));
        found.extend(self.slow_polls.recent(now).into_iter().map(|poll| {
            (
                poll.seen,
                Lint {
                    request: poll.request.map(|id| id.0),
                    ..self.lint(
                        LintKind::SlowPoll,
                        slow_poll(&poll),
                        Some(poll.id),
                        None,
                        poll.seen,
                    )
                },
            )
        }));
        found.extend(snapshot.pools.iter().filter_map(|pool| {
            let since = too_long_since(&self.history.of(pool.id, now), now)?;
            let text = format!(
                "the queue of pool \"{}\" is {} jobs long, with {} threads",
                pool.name, pool.stats.queued, pool.stats.threads
            );
            Some((
                since,
                self.lint(LintKind::QueueTooLong, text, None, Some(&pool.name), since),
            ))
        }));
        found.extend(
            self.flapping
                .look(&snapshot.lazies, now)
                .into_iter()
                .map(|(lazy, since)| {
                    let stats = &lazy.stats;
                    let text = format!(
                        "lazy value \"{}\" was computed {} times and served {} times",
                        lazy.name,
                        stats.computations,
                        served(stats)
                    );
                    (
                        since,
                        self.lint(
                            LintKind::RecomputesTooOften,
                            text,
                            None,
                            Some(&lazy.name),
                            since,
                        ),
                    )
                }),
        );
        found.sort_by(|(since, lint), (other_since, other)| {
            (since, lint.lint, lint.work, &lint.owner).cmp(&(
                other_since,
                other.lint,
                other.work,
                &other.owner,
            ))
        });
        Answer::new(
            rev,
            Lints {
                lints: found.into_iter().map(|(_, lint)| lint).collect(),
            },
        )
    }

    fn lint(
        &self,
        lint: LintKind,
        text: String,
        work: Option<WorkId>,
        owner: Option<&str>,
        since: Moment,
    ) -> Lint {
        Lint {
            lint,
            text,
            work: work.map(|id| id.0),
            request: None,
            owner: owner.map(str::to_owned),
            since_unix_ms: self.clock.unix_ms(since),
        }
    }
}

/// Work that goes on after its end was asked for.
struct Late {
    kind: LintKind,
    since: Moment,
    reason: CancelReason,
}

impl Late {
    fn of(live: &Live, now: Moment) -> Option<Self> {
        let (reason, since) = live
            .cancelling
            .filter(|(_, since)| now.since(*since) >= PATIENCE)?;
        // What has a time limit is late itself; what is inside it has not heard of its cancel.
        let limited = matches!(
            live.kind,
            WorkKind::Request
                | WorkKind::Group
                | WorkKind::Race
                | WorkKind::Hedge
                | WorkKind::Background
        );
        let passed = limited && reason == CancelReason::Deadline;
        let kind = if passed {
            LintKind::DeadlinePassed
        } else {
            LintKind::IgnoresCancel
        };
        Some(Self {
            kind,
            since,
            reason,
        })
    }

    fn text(&self, live: &Live) -> String {
        let work = described(live);
        match self.kind {
            LintKind::DeadlinePassed => format!("{work} goes on after its deadline"),
            _ => format!("{work} goes on after its cancel ({})", self.reason.as_str()),
        }
    }
}

/// Kind, name, the request, and the place that made it where the name is not that. A request is found by its route: it is made
/// in the code that serves all of them.
pub(in crate::store) fn described(live: &Live) -> String {
    let kind = live.kind.as_str().replace('_', " ");
    let place = live
        .made_at
        .map(ToString::to_string)
        .filter(|place| **place != *live.name && live.kind != WorkKind::Request);
    let request = live
        .tree
        .as_ref()
        .filter(|_| live.kind != WorkKind::Request);
    let request = request.map_or(String::new(), |request| format!(" of {}", request.route));
    let place = place.map_or(String::new(), |place| format!(" ({place})"));
    format!("{kind} \"{}\"{request}{place}", live.name)
}

fn slow_poll(poll: &SlowPoll) -> String {
    format!(
        "{} held its thread for {} in one poll",
        poll.work,
        seconds(poll.took)
    )
}

fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

/// Reads that some computation was of use for, beside the one that started it.
fn served(stats: &LazyStats) -> u64 {
    stats.hits + stats.waits + stats.stale
}

impl Flapping {
    fn look<'a>(
        &self,
        lazies: &'a [Living<LazyStats>],
        now: Moment,
    ) -> Vec<(&'a Living<LazyStats>, Moment)> {
        let flaps = |lazy: &&Living<LazyStats>| {
            lazy.stats.computations >= COMPUTATIONS && lazy.stats.computations > served(&lazy.stats)
        };
        let flapping: Vec<_> = lazies.iter().filter(flaps).collect();
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|id, _| flapping.iter().any(|lazy| lazy.id == *id));
        flapping
            .into_iter()
            .map(|lazy| (lazy, *since.entry(lazy.id).or_insert(now)))
            .collect()
    }
}
