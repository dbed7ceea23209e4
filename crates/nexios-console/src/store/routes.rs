//! Requests that have ended: for each route a few of each bucket, so that no crowd of fast ones pushes out the slow one.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nexios::observe::WorkId;

use super::{memory::Memory, moment::Moment, tree::Tree};
use crate::model::{Bucket, Counts};

/// Kept in each bucket of each route.
pub(super) const SAMPLES: usize = 10;

/// A full bucket takes one request in this time, so that a rush leaves each of them there for long enough to be read.
const PACE: Duration = Duration::from_secs(1);

/// Whoever has more has names that are no routes.
const ROUTES: usize = 512;

/// What it takes to find a request by its number: a place in a map that is at most two thirds empty.
const FOUND: usize = 3 * size_of::<(WorkId, Arc<Tree>)>();

#[derive(Debug)]
struct Route {
    /// Newest last.
    buckets: [VecDeque<Filed>; Bucket::ALL.len()],
    total: u64,
    /// When one of its requests ended last.
    last: Moment,
}

/// A request in its bucket.
#[derive(Debug)]
struct Filed {
    /// To find it without a look at its tree.
    id: WorkId,
    tree: Arc<Tree>,
    at: Moment,
}

/// A row of the grid.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) route: Box<str>,
    pub(super) counts: Counts,
    pub(super) total: u64,
}

#[derive(Debug)]
pub(super) struct Routes {
    kept: Mutex<Kept>,
    memory: Arc<Memory>,
}

#[derive(Debug, Default)]
struct Kept {
    routes: HashMap<Box<str>, Route>,
    /// All requests of all buckets, so that one is found without a look at the others.
    requests: HashMap<WorkId, Arc<Tree>>,
}

impl Routes {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self {
            kept: Mutex::default(),
            memory,
        }
    }

    /// Keeps a request that has ended, and lets go of what is older where there is no room.
    pub(super) fn file(&self, tree: Arc<Tree>, bucket: Bucket, now: Moment) {
        let mut kept = self.lock();
        let Kept { routes, requests } = &mut *kept;
        if !routes.contains_key(&tree.route) {
            self.memory.take(bytes(&tree.route));
            let route = Route {
                buckets: Default::default(),
                total: 0,
                last: now,
            };
            routes.insert(tree.route.clone(), route);
        }
        let mut old = None;
        if let Some(route) = routes.get_mut(&tree.route) {
            route.total += 1;
            route.last = route.last.max(now);
            let samples = &mut route.buckets[bucket as usize];
            let filed = Filed {
                id: tree.root,
                tree,
                at: now,
            };
            let is_full = samples.len() == SAMPLES;
            let is_early = |last: &Filed| now.since(last.at) < PACE;
            if is_full && samples.back().is_some_and(is_early) {
                old = Some(filed);
            } else {
                if is_full {
                    old = samples.pop_front();
                }
                match &old {
                    Some(old) => drop(requests.remove(&old.id)),
                    None => self.memory.take(FOUND),
                }
                requests.insert(filed.id, filed.tree.clone());
                samples.push_back(filed);
            }
        }
        let routes_now = routes.len();
        drop(kept);
        // Outside the lock, as all that has a destructor.
        drop(old);
        if routes_now > ROUTES {
            self.let_go(|routes| routes > ROUTES / 16 * 15);
        }
        self.make_room();
    }

    /// Lets go of what is older, if all together is over the limit: whoever adds to it calls this.
    #[inline]
    pub(super) fn make_room(&self) {
        if self.memory.used() > self.memory.limit() {
            let limit = self.memory.limit() / 16 * 15;
            self.let_go(|_| self.memory.used() > limit);
        }
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let row = |name: &str, route: &Route| {
            let mut counts = Counts::default();
            for bucket in Bucket::ALL {
                counts[bucket] = route.buckets[bucket as usize].len();
            }
            Row {
                route: name.into(),
                counts,
                total: route.total,
            }
        };
        self.lock()
            .routes
            .iter()
            .map(|(name, route)| row(name, route))
            .collect()
    }

    /// Newest first.
    pub(super) fn samples(&self, route: &str, bucket: Bucket) -> Vec<Arc<Tree>> {
        let kept = self.lock();
        let samples = kept
            .routes
            .get(route)
            .map(|route| &route.buckets[bucket as usize]);
        samples
            .into_iter()
            .flatten()
            .rev()
            .map(|filed| filed.tree.clone())
            .collect()
    }

    pub(super) fn find(&self, request: WorkId) -> Option<Arc<Tree>> {
        self.lock().requests.get(&request).cloned()
    }

    /// The route that was asked longest ago goes first. Those who call ask for a sixteenth more than they need, so that not
    /// every request that ends comes here.
    #[cold]
    pub(super) fn let_go(&self, too_many: impl Fn(usize) -> bool) {
        let mut kept = self.lock();
        let mut by_age: Vec<_> = kept
            .routes
            .iter()
            .map(|(name, route)| (route.last, name.clone()))
            .collect();
        by_age.sort_unstable_by_key(|(last, _)| *last);
        for (_, oldest) in by_age {
            if !too_many(kept.routes.len()) {
                return;
            }
            let Some(gone) = kept.routes.remove(&oldest) else {
                continue;
            };
            for filed in gone.buckets.iter().flatten() {
                // Its tree is in the bucket as well, so nothing of it is dropped here.
                kept.requests.remove(&filed.id);
                self.memory.give_back(FOUND);
            }
            drop(kept);
            self.memory.give_back(bytes(&oldest));
            drop(gone);
            kept = self.lock();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a route takes without its requests.
fn bytes(name: &str) -> usize {
    let samples = Bucket::ALL.len() * SAMPLES.next_power_of_two() * size_of::<Filed>();
    3 * size_of::<(Box<str>, Route)>() + name.len() + samples
}
