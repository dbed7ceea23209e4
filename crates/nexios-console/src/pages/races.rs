//! Races and hedges: who wins, and what losers cost.

use maud::{Markup, html};

use super::{
    parts,
    region::{Region, Row, digest},
    text,
};
use crate::model::{Hedges, Race, RaceKind, Races};

pub(crate) fn regions(races: &Races) -> Vec<Region> {
    vec![Region::table_body("races", rows(races))]
}

pub(crate) fn main(races: &Races) -> Markup {
    html! {
        h1 { "Races and hedges" }
        table.races {
            caption.vh { "Races and hedges, each with its candidates" }
            thead {
                tr {
                    th scope="col" { "Race" }
                    th scope="col" { "Calls" }
                    th scope="col" { "Won" }
                    th scope="col" { "Losers ran" }
                    th scope="col" { "Nobody won" }
                    th scope="col" { "Hedges" }
                }
            }
            (Region::table_body("races", rows(races)))
        }
    }
}

fn rows(races: &Races) -> Vec<Row> {
    if races.races.is_empty() {
        let html = html! { tr #no-races { td colspan="6" { (parts::nothing("No race has been run yet.")) } } };
        return vec![Row::new("no-races".to_owned(), html)];
    }
    let mut rows = Vec::new();
    for race in &races.races {
        let id = format!("race-{:x}", digest(&(&race.name, race.kind)));
        rows.push(Row::new(id.clone(), self::race(&id, race)));
        let all: u64 = race.wins.values().sum();
        // By name: the lead may change with every call, and rows that jump cannot be read.
        for (winner, wins) in &race.wins {
            let id = format!("{id}-{:x}", digest(winner));
            let html = candidate(&id, race, winner, *wins, all);
            rows.push(Row::new(id, html));
        }
    }
    rows
}

fn race(id: &str, race: &Race) -> Markup {
    let kind = match race.kind {
        RaceKind::Race => "race",
        RaceKind::Hedge => "hedge",
    };
    html! {
        tr.race id=(id) data-race=(race.name) {
            th scope="row" { span.name { (race.name) } " " span.kind { (kind) } }
            td.num data-label="calls" { (text::count(race.calls)) }
            td {}
            td.num data-label="losers ran" { (text::span(race.lost_ms)) }
            td.num data-label="nobody won" .alarm[race.nobody > 0] { (text::count(race.nobody)) }
            td data-label="hedges" {
                @if let Some(hedges) = &race.hedges { (self::hedges(hedges)) } @else { "–" }
                @for one in &race.each { br; small { "#" (one.id) ": " (self::hedges(&one.hedges)) } }
            }
        }
    }
}

fn hedges(hedges: &Hedges) -> Markup {
    html! {
        (text::count(hedges.started)) " started, " (text::count(hedges.won)) " won, "
        (text::count(hedges.wasted)) " wasted"
        @if hedges.suppressed > 0 { ", " span.alarm { (text::count(hedges.suppressed)) " over the budget" } }
    }
}

fn candidate(id: &str, race: &Race, winner: &str, wins: u64, all: u64) -> Markup {
    html! {
        tr.candidate id=(id) data-winner=(winner) data-of=(race.name) {
            th.d1 scope="row" { (winner) }
            td {}
            td colspan="4" {
                meter value=(wins) max=(all.max(1)) aria-label={ "Share of the wins of " (winner) } {}
                " " span.num { (text::count(wins)) } " " small { (text::share(wins as f64, all as f64)) }
            }
        }
    }
}
