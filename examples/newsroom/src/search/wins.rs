//! Who answered how often.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

/// Where hits can come from, in the order in which the sources are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Primary,
    Replica,
    Scan,
}

impl Source {
    pub(crate) const ALL: [Source; 3] = [Source::Primary, Source::Replica, Source::Scan];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Source::Primary => "primary",
            Source::Replica => "replica",
            Source::Scan => "scan",
        }
    }
}

/// Searches won by each source, and those that nobody won.
#[derive(Debug, Default)]
pub(crate) struct Wins {
    of: [AtomicU64; Source::ALL.len()],
    nobody: AtomicU64,
}

impl Wins {
    /// Counts a search; `None` if it had no winner.
    pub(crate) fn count(&self, winner: Option<Source>) {
        let counter = winner.map_or(&self.nobody, |source| &self.of[source as usize]);
        // Relaxed: a statistic for the status page; nobody synchronises through it.
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Value {
        let of = |source: Source| self.of[source as usize].load(Ordering::Relaxed);
        let mut wins: serde_json::Map<String, Value> = Source::ALL
            .into_iter()
            .map(|source| (source.name().to_owned(), json!(of(source))))
            .collect();
        wins.insert(
            "nobody".to_owned(),
            json!(self.nobody.load(Ordering::Relaxed)),
        );
        wins.into()
    }
}
