//! What the service is at right now: what its requests wait for, who cancels them, and what it cannot end without.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use nexios::observe::{WorkId, WorkKind};

use super::{earlier::Earlier, running::is_disregarded, work::waiting_for};
use crate::{
    model::{CancelledRequests, Lazy, LeftOver, Now, Stay},
    store::{Store, live::Live, moment::Moment},
};

/// What runs for less is on its way.
const STAYS: Duration = Duration::from_secs(1);
/// Kinds of waiting that are named.
const STAYS_NAMED: usize = 5;
/// Routes of one kind that are named.
const ROUTES_NAMED: usize = 2;
const FAILING_NAMED: usize = 3;
const CANCELLED_NAMED: usize = 3;
/// How long a failure is told of, in milliseconds.
const RECENT_MS: u64 = 60_000;
const LEFT_NAMED: usize = 4;

impl Store {
    pub(crate) fn now(&self) -> Now {
        let now = self.clock.now();
        let live = self.lives.copies(|_, live| !is_disregarded(live));
        let (stays, other_stays) = self.stays(&live, now);
        let (left, other_left) = self.left(&live, now);
        let now_unix_ms = self.clock.unix_ms(now);
        let mut failing = self.lazies().content.lazies;
        failing.retain(|lazy| is_failing(lazy, now_unix_ms));
        failing.truncate(FAILING_NAMED);
        let cancels = self.minute.cancels(now);
        let cancelled = cancels.into_iter().take(CANCELLED_NAMED);
        Now {
            stays,
            other_stays,
            failing,
            cancelled: cancelled
                .map(|cancels| CancelledRequests {
                    route: cancels.route.into(),
                    reason: cancels.reason,
                    count: cancels.count,
                    mean_ms: cancels.took.as_secs_f64() * 1_000.0 / f64::from(cancels.count.max(1)),
                })
                .collect(),
            left,
            other_left,
        }
    }

    /// Where work stays, most first, and how many more such places there are.
    fn stays(&self, live: &[(WorkId, Live)], now: Moment) -> (Vec<Stay>, usize) {
        let holders: HashSet<WorkId> = live.iter().filter_map(|(_, live)| live.holder()).collect();
        let mut groups: BTreeMap<(bool, String), Group> = BTreeMap::new();
        for (id, live) in live {
            let Some((waits, what, since)) = stay(live, holders.contains(id), now) else {
                continue;
            };
            let group = groups.entry((waits, what)).or_insert(Group {
                count: 0,
                oldest: since,
                routes: BTreeMap::new(),
            });
            group.count += 1;
            group.oldest = group.oldest.min(since);
            if let Some(tree) = &live.tree {
                *group.routes.entry(tree.route.to_string()).or_default() += 1;
            }
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(_, group)| (std::cmp::Reverse(group.count), group.oldest));
        let others = groups.len().saturating_sub(STAYS_NAMED);
        let stays = groups.into_iter().take(STAYS_NAMED);
        let stay = |((waits, what), group): ((bool, String), Group)| {
            let mut routes: Vec<_> = group.routes.into_iter().collect();
            routes.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
            routes.truncate(ROUTES_NAMED);
            Stay {
                waits,
                what,
                count: group.count,
                oldest_unix_ms: self.clock.unix_ms(group.oldest),
                routes,
            }
        };
        (stays.map(stay).collect(), others)
    }

    /// What nobody else holds: the service ends when all of it has ended.
    fn left(&self, live: &[(WorkId, Live)], now: Moment) -> (Vec<LeftOver>, usize) {
        let is_root = |live: &Live| {
            // A computation goes with those who wait for it, a schedule with the service.
            let ends_by_itself =
                live.kind == WorkKind::Computation || live.next_run_unix_ms.is_some();
            live.holder().is_none() && !ends_by_itself
        };
        let mut left: Vec<_> = live.iter().filter(|(_, live)| is_root(live)).collect();
        left.sort_by_key(|(id, live)| (live.made, *id));
        let mut earlier = self.earlier(now);
        earlier.retain(|earlier| earlier.lives() && earlier.schedule.is_none());
        let others = (earlier.len() + left.len()).saturating_sub(LEFT_NAMED);
        let earlier = earlier.into_iter().map(|Earlier { task, .. }| LeftOver {
            id: task.work.id,
            kind: task.work.kind,
            name: task.work.name,
            state: task.work.state,
            made_unix_ms: task.work.made_unix_ms,
        });
        let told = left.into_iter().map(|(id, live)| LeftOver {
            id: id.0,
            kind: live.kind,
            name: live.name.to_string(),
            state: live.state(),
            made_unix_ms: self.clock.unix_ms(live.made),
        });
        (earlier.chain(told).take(LEFT_NAMED).collect(), others)
    }
}

struct Group {
    count: usize,
    oldest: Moment,
    routes: BTreeMap<String, usize>,
}

/// Whether it waits, what it waits for or is at, and since when. Work that has live parts is where they are; what is being
/// cancelled is told elsewhere.
fn stay(live: &Live, has_parts: bool, now: Moment) -> Option<(bool, String, Moment)> {
    if live.cancelling.is_some() {
        return None;
    }
    // These wait by design, and what they wait for is counted itself.
    let by_design = matches!(
        live.kind,
        WorkKind::Finalizer | WorkKind::Candidate | WorkKind::Attempt
    );
    if by_design && live.started.is_none() {
        return None;
    }
    if let Some(what) = waiting_for(live) {
        let since = live.waiting.as_ref().map_or(live.made, |wait| wait.since);
        return Some((true, what, since));
    }
    let since = live.started?;
    let stays = !has_parts && live.tree.is_some() && now.since(since) >= STAYS;
    let what = match (live.kind, &live.owner) {
        (WorkKind::Request, _) => "the handler itself".to_owned(),
        (WorkKind::PoolJob, Some(pool)) => format!("a thread of \"{pool}\""),
        _ => live.name.to_string(),
    };
    stays.then_some((false, what, since))
}

/// Its last computation went wrong lately, and no other has made a value since.
fn is_failing(lazy: &Lazy, now_unix_ms: u64) -> bool {
    lazy.last_error.as_ref().is_some_and(|error| {
        let ago_ms = now_unix_ms.saturating_sub(error.ended_unix_ms);
        ago_ms < RECENT_MS && lazy.age_ms.is_none_or(|age_ms| age_ms > ago_ms as f64)
    })
}
