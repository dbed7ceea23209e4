//! Races and hedges.

use std::collections::BTreeMap;

use nexios::{HedgeStats, observe};

use crate::{
    model::{Answer, Hedges, OneHedge, Race, RaceKind, Races, milliseconds},
    store::{
        Store,
        text::{NAME, bounded},
    },
};

impl Store {
    pub(crate) fn races(&self) -> Answer<Races> {
        let rev = self.rev();
        let mut hedges = BTreeMap::<String, Vec<OneHedge>>::new();
        for living in observe::snapshot().hedges {
            let name = bounded(&living.name, NAME).into();
            hedges.entry(name).or_default().push(OneHedge {
                id: living.id.0,
                hedges: counted(&living.stats),
            });
        }
        let races = self
            .contests
            .all()
            .into_iter()
            .map(|(kind, name, contest)| {
                let own = (kind == RaceKind::Hedge)
                    .then(|| hedges.remove(&*name))
                    .flatten()
                    .unwrap_or_default();
                Race {
                    hedges: together(&own),
                    each: each(own),
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
                }
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
            hedges: together(&hedges),
            each: each(hedges),
        }));
        races.sort_by(|race, other| (&race.name, race.kind).cmp(&(&other.name, other.kind)));
        Answer::new(rev, Races { races })
    }
}

fn counted(stats: &HedgeStats) -> Hedges {
    Hedges {
        started: stats.hedges_started,
        won: stats.hedges_won,
        wasted: stats.hedges_wasted,
        suppressed: stats.hedges_suppressed,
    }
}

/// Several hedges may have the same name.
fn together(hedges: &[OneHedge]) -> Option<Hedges> {
    let numbers = hedges.iter().map(|one| one.hedges.clone());
    numbers.reduce(|all, one| Hedges {
        started: all.started + one.started,
        won: all.won + one.won,
        wasted: all.wasted + one.wasted,
        suppressed: all.suppressed + one.suppressed,
    })
}

/// Of one alone there is no more to say than of all together.
fn each(hedges: Vec<OneHedge>) -> Vec<OneHedge> {
    if hedges.len() > 1 { hedges } else { Vec::new() }
}
