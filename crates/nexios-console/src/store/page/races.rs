//! Races and hedges.

use std::collections::{BTreeMap, HashMap};

use nexios::{HedgeStats, observe};

use crate::{
    model::{Answer, Hedges, Race, RaceKind, Races, milliseconds},
    store::{
        Store,
        text::{NAME, bounded},
    },
};

impl Store {
    pub(crate) fn races(&self) -> Answer<Races> {
        let rev = self.rev();
        let mut hedges = HashMap::<String, Hedges>::new();
        for living in observe::snapshot().hedges {
            add(
                hedges
                    .entry(bounded(&living.name, NAME).into())
                    .or_insert(NONE),
                &living.stats,
            );
        }
        let races = self
            .contests
            .all()
            .into_iter()
            .map(|(kind, name, contest)| Race {
                hedges: (kind == RaceKind::Hedge)
                    .then(|| hedges.remove(&*name))
                    .flatten(),
                name: name.into(),
                kind,
                calls: contest.calls,
                wins: contest
                    .candidates
                    .into_iter()
                    .map(|(name, candidate)| (name.into(), candidate.wins))
                    .collect(),
                lost_ms: milliseconds(contest.lost),
                nobody: contest.nobody,
            });
        let mut races: Vec<Race> = races.collect();
        // None of their calls has ended since the console looks.
        races.extend(hedges.into_iter().map(|(name, hedges)| Race {
            name,
            kind: RaceKind::Hedge,
            calls: 0,
            wins: BTreeMap::new(),
            lost_ms: 0.0,
            nobody: 0,
            hedges: Some(hedges),
        }));
        races.sort_by(|race, other| (&race.name, race.kind).cmp(&(&other.name, other.kind)));
        Answer::new(rev, Races { races })
    }
}

const NONE: Hedges = Hedges {
    started: 0,
    won: 0,
    wasted: 0,
    suppressed: 0,
};

/// Several hedges may have the same name.
fn add(hedges: &mut Hedges, stats: &HedgeStats) {
    hedges.started += stats.hedges_started;
    hedges.won += stats.hedges_won;
    hedges.wasted += stats.hedges_wasted;
    hedges.suppressed += stats.hedges_suppressed;
}
