//! The lazy values.

use nexios::observe;

use crate::{
    model::{Answer, Lazies, Lazy, LazyError, milliseconds},
    store::{
        Store,
        text::{NAME, bounded},
    },
};

impl Store {
    pub(crate) fn lazies(&self) -> Answer<Lazies> {
        let rev = self.rev();
        let failures = self.failures.last();
        let lazy = |living: observe::Living<nexios::LazyStats>| {
            let stats = living.stats;
            // Failures are known by name, and another value may have the same.
            let last_error = failures
                .get(&*bounded(&living.name, NAME))
                .filter(|_| stats.failures > 0)
                .map(|(state, ended)| LazyError {
                    state: *state,
                    ended_unix_ms: self.clock.unix_ms(*ended),
                });
            Lazy {
                id: living.id.0,
                name: living.name.into_owned(),
                state: stats.state,
                is_map: stats.is_map,
                age_ms: stats.age.map(milliseconds),
                fresh_for_ms: stats.fresh_for.map(milliseconds),
                hits: stats.hits,
                waits: stats.waits,
                misses: stats.misses,
                stale: stats.stale,
                computations: stats.computations,
                failures: stats.failures,
                last_error,
            }
        };
        Answer::new(
            rev,
            Lazies {
                lazies: observe::snapshot().lazies.into_iter().map(lazy).collect(),
            },
        )
    }
}
