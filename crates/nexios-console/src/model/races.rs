//! Races and hedges: who wins, and what losers cost.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Redact;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Races {
    /// By name.
    pub(crate) races: Vec<Race>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Race {
    pub(crate) name: String,
    pub(crate) kind: RaceKind,
    /// Those that have ended.
    pub(crate) calls: u64,
    /// How often each candidate has won; 0 for one that never has.
    pub(crate) wins: BTreeMap<String, u64>,
    /// What losers have run until they lost.
    pub(crate) lost_ms: f64,
    /// Calls that had no winner, the cancelled ones not among them.
    pub(crate) nobody: u64,
    /// Of a hedge; of all hedges of this name together.
    pub(crate) hedges: Option<Hedges>,
    /// Of each of them, where several have this name. Their calls are known by name, and count together.
    pub(crate) each: Vec<OneHedge>,
}

/// One of several hedges of the same name.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OneHedge {
    pub(crate) id: u64,
    #[serde(flatten)]
    pub(crate) hedges: Hedges,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RaceKind {
    Race,
    Hedge,
}

/// The attempts after the first of their call.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Hedges {
    pub(crate) started: u64,
    pub(crate) won: u64,
    pub(crate) wasted: u64,
    /// Not started, as the budget was used up.
    pub(crate) suppressed: u64,
}

impl Redact for Races {
    fn hide(&mut self) {}
}
