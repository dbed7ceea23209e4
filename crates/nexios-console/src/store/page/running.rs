//! All live work.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use nexios::observe::{WorkId, WorkKind};

use crate::{
    model::{Answer, Running, State, Work},
    query::{RunningQuery, ViewOf},
    store::{Store, live::Live, moment::Moment},
};

/// Rows of a page.
const ROWS: usize = 200;

impl Store {
    pub(crate) fn running(&self, query: &RunningQuery) -> Answer<Running> {
        let rev = self.rev();
        let now = self.clock.now();
        let mut live = self.lives.copies(|_, live| !is_disregarded(live));
        live.sort_unstable_by_key(|(id, live)| (live.made, *id));
        if query.view == ViewOf::Tree {
            live = as_tree(live);
        }
        let alive: HashSet<WorkId> = live.iter().map(|(id, _)| *id).collect();
        let filter = Filter::new(query);
        live.retain(|(_, live)| filter.matches_live(live, now));
        // Older than all others, and part of nothing.
        let mut earlier = self.earlier(now);
        earlier.retain(|earlier| earlier.lives() && filter.matches(&earlier.task.work));
        let total = earlier.len() + live.len();
        let pages = total.div_ceil(ROWS).max(1);
        let page = query.page_number().unwrap_or(1).min(pages);
        let told = live.iter().map(|(id, live)| {
            let mut work = self.work(*id, live, now);
            work.parent = work
                .parent
                .filter(|parent| alive.contains(&WorkId(*parent)));
            work
        });
        let work = earlier.into_iter().map(|earlier| earlier.task.work);
        let work = work.chain(told).skip((page - 1) * ROWS).take(ROWS);
        Answer::new(
            rev,
            Running {
                total,
                page,
                pages,
                work: work.collect(),
            },
        )
    }
}

/// The console's own requests, and what is part of them.
pub(super) fn is_disregarded(live: &Live) -> bool {
    live.tree.as_ref().is_some_and(|tree| tree.is_disregarded())
}

/// Each root, and after it its parts; what has a parent that is gone is a root.
fn as_tree(sorted: Vec<(WorkId, Live)>) -> Vec<(WorkId, Live)> {
    let places: HashMap<WorkId, usize> = sorted
        .iter()
        .enumerate()
        .map(|(place, (id, _))| (*id, place))
        .collect();
    let mut parts = vec![Vec::new(); sorted.len()];
    let mut roots = Vec::new();
    for (place, (id, live)) in sorted.iter().enumerate() {
        // A parent is older than its parts; a list of others' telling might have rings in it.
        let parent = live
            .holder()
            .and_then(|parent| places.get(&parent))
            .filter(|parent| **parent < place);
        match parent {
            Some(parent) if live.holder() != Some(*id) => parts[*parent].push(place),
            _ => roots.push(place),
        }
    }
    let mut sorted: Vec<_> = sorted.into_iter().map(Some).collect();
    let mut open: Vec<usize> = roots.into_iter().rev().collect();
    let mut tree = Vec::with_capacity(sorted.len());
    while let Some(place) = open.pop() {
        tree.extend(sorted[place].take());
        open.extend(parts[place].iter().rev());
    }
    tree
}

struct Filter<'a> {
    name: String,
    kind: &'a str,
    state: &'a str,
    older: Duration,
}

impl<'a> Filter<'a> {
    fn new(query: &'a RunningQuery) -> Self {
        Self {
            name: query.name.trim().to_lowercase(),
            kind: query.kind.trim(),
            state: query.state.trim(),
            older: query.older_than().unwrap_or_default(),
        }
    }

    fn matches_live(&self, live: &Live, now: Moment) -> bool {
        let age = now.since(live.made);
        self.wants(live.kind, live.state(), age, &live.name)
    }

    fn matches(&self, work: &Work) -> bool {
        let age = Duration::try_from_secs_f64(work.age_ms / 1_000.0).unwrap_or_default();
        self.wants(work.kind, work.state, age, &work.name)
    }

    fn wants(&self, kind: WorkKind, state: State, age: Duration, name: &str) -> bool {
        (self.kind.is_empty() || kind.as_str() == self.kind)
            && (self.state.is_empty() || state.as_str() == self.state)
            && age >= self.older
            && (self.name.is_empty() || name.to_lowercase().contains(&self.name))
    }
}
