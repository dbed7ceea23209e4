//! An observer that keeps what it was told of one test's requests: other tests of this binary are observed as well.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nexios::observe::{self, Observer, Observing, Outcome, Update, Work, WorkId};

use crate::app::eventually;

/// What was said, in its order, with the name of what it was said of.
pub(super) struct Recorder {
    /// The name of the test's requests.
    root: &'static str,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    names: HashMap<WorkId, String>,
    lines: Vec<String>,
}

impl Recorder {
    /// Begins to observe; `root` is the name of the requests.
    pub(super) fn begin(root: &'static str) -> (Arc<Self>, Observing) {
        let recorder = Arc::new(Recorder {
            root,
            told: Mutex::default(),
        });
        let observing = observe::observe(recorder.clone());
        (recorder, observing)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.told().lines.clone()
    }

    /// Waits until the one request of the test has ended, and for what would be said after its end.
    pub(super) async fn whole(&self) -> Vec<String> {
        let end = |line: &str| ENDS.iter().any(|end| line.starts_with(end));
        let root = format!("{}: ", self.root);
        let is_end = |line: &String| line.strip_prefix(&root).is_some_and(end);
        eventually(async || self.lines().iter().any(is_end).then_some(())).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        self.lines()
    }

    /// The same without attributes, and without the name of the request.
    pub(super) async fn story(&self) -> Vec<String> {
        let mut lines = self.whole().await;
        lines.retain(|line| !line.contains("Attribute"));
        let root = format!("{}: ", self.root);
        lines
            .into_iter()
            .map(|line| line.strip_prefix(&root).map_or(line.clone(), str::to_owned))
            .collect()
    }

    /// The attributes of the request, each with the values that were said.
    pub(super) fn attribute(&self, name: &str) -> Vec<String> {
        let start = format!("{}: Attribute {{ name: {name:?}, value: \"", self.root);
        let lines = self.lines();
        let values = lines.iter().filter_map(|line| line.strip_prefix(&start));
        values
            .map(|rest| rest.trim_end_matches("\" }").to_owned())
            .collect()
    }

    fn tell(&self, id: WorkId, line: impl FnOnce(&str) -> String) {
        let mut told = self.told();
        if let Some(name) = told.names.get(&id).cloned() {
            told.lines.push(line(&name));
        }
    }
}

const ENDS: [&str; 8] = [
    "Completed",
    "Failed",
    "Panicked",
    "Cancelled(",
    "TimedOut",
    "Won",
    "Lost",
    "Refused",
];

impl Observer for Recorder {
    fn made(&self, work: &Work<'_>) {
        let mut told = self.told();
        let parent = work.parent.and_then(|id| told.names.get(&id).cloned());
        let below = match parent {
            Some(parent) => format!(" in {parent}"),
            None if work.name == self.root => String::new(),
            None => return,
        };
        told.names.insert(work.id, work.name.to_owned());
        let kind = work.kind.as_str();
        told.lines
            .push(format!("{}: made as {kind}{below}", work.name));
    }

    fn started(&self, id: WorkId) {
        self.tell(id, |name| format!("{name}: started"));
    }

    fn updated(&self, id: WorkId, update: &Update<'_>) {
        self.tell(id, |name| format!("{name}: {update:?}"));
    }

    fn ended(&self, id: WorkId, outcome: &Outcome<'_>) {
        self.tell(id, |name| format!("{name}: {outcome:?}"));
    }
}
