//! The grid of routes and buckets, and its cells.

use std::collections::BTreeMap;

use nexios::observe::WorkKind;

use crate::{
    model::{Answer, Bucket, Counts, Requests, Route, Sample, Samples, milliseconds},
    store::{Store, page::running::is_disregarded, tree::Tree},
};

impl Store {
    pub(crate) fn requests(&self) -> Answer<Requests> {
        let rev = self.rev();
        let mut running = BTreeMap::<Box<str>, usize>::new();
        self.lives.each(|_, live| {
            if live.kind == WorkKind::Request && !is_disregarded(live) {
                if let Some(count) = running.get_mut(&live.name) {
                    *count += 1;
                } else {
                    running.insert(live.name.clone(), 1);
                }
            }
        });
        let kept = self.routes.rows().into_iter().map(|row| {
            let running = running.remove(&row.route).unwrap_or_default();
            Route {
                route: row.route.into(),
                running,
                counts: row.counts,
                total: row.total,
            }
        });
        let mut routes: Vec<Route> = kept.collect();
        let new = |(route, running): (Box<str>, _)| Route {
            route: route.into(),
            running,
            counts: Counts::default(),
            total: 0,
        };
        routes.extend(running.into_iter().map(new));
        routes.sort_by(|route, other| route.route.cmp(&other.route));
        Answer::new(
            rev,
            Requests {
                buckets: Bucket::ALL,
                routes,
            },
        )
    }

    /// The samples of one cell; empty if there is no such route.
    pub(crate) fn samples(&self, route: &str, bucket: Bucket) -> Answer<Samples> {
        let rev = self.rev();
        let samples = self.routes.samples(route, bucket);
        let samples = samples
            .iter()
            .filter_map(|tree| self.sample(tree))
            .collect();
        Answer::new(rev, Samples { samples })
    }

    /// None while it runs, as none of the kept ones does.
    fn sample(&self, tree: &Tree) -> Option<Sample> {
        let (status, answer) = tree.look(|kept| {
            let answer = kept.answer.clone()?;
            Some((answer.status(&kept.facts), answer))
        })?;
        Some(Sample {
            id: tree.root.0,
            route: tree.route.to_string(),
            status,
            state: answer.end.state,
            reason: answer.end.reason,
            started_unix_ms: self.clock.unix_ms(tree.made),
            duration_ms: milliseconds(answer.took(tree.made)),
        })
    }
}
