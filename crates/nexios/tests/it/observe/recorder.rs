//! An observer that keeps what it was told of one test's work: other tests of this binary are observed as well.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use nexios::observe::{self, CustomWork, Observer, Observing, Outcome, Update, Work, WorkId};

/// What was said, in its order, with the name that the work was made with.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Told>);

#[derive(Default)]
struct Told {
    /// The work of this test: its root and what hangs there.
    family: HashSet<WorkId>,
    names: std::collections::HashMap<WorkId, String>,
    lines: Vec<String>,
}

impl Recorder {
    /// Begins to observe, and makes the root that marks a test's work; its own lines are left out.
    pub(super) fn begin() -> (Arc<Self>, Observing, CustomWork) {
        let recorder = Arc::new(Self::default());
        let observing = observe::observe(recorder.clone());
        let root = observe::custom("the test");
        let mut told = recorder.0.lock().unwrap();
        told.family.insert(root.id().expect("it is observed"));
        told.lines.clear();
        drop(told);
        (recorder, observing, root)
    }

    /// Without the slow polls: on a busy machine any poll may be one.
    pub(super) fn lines(&self) -> Vec<String> {
        self.filtered(false)
    }

    pub(super) fn slow_polls(&self) -> Vec<String> {
        self.filtered(true)
    }

    /// All of it, slow polls too.
    pub(super) fn lines_and_slow_polls(&self) -> Vec<String> {
        self.0.lock().unwrap().lines.clone()
    }

    fn filtered(&self, slow_polls: bool) -> Vec<String> {
        let told = self.0.lock().unwrap();
        let lines = told.lines.iter();
        lines
            .filter(|line| line.contains(": SlowPoll(") == slow_polls)
            .cloned()
            .collect()
    }

    fn tell(&self, id: WorkId, line: impl FnOnce(&str) -> String) {
        let mut told = self.0.lock().unwrap();
        let Some(name) = told.names.get(&id).cloned() else {
            return;
        };
        told.lines.push(line(&name));
    }
}

impl Observer for Recorder {
    fn made(&self, work: &Work<'_>) {
        let mut told = self.0.lock().unwrap();
        if work
            .parent
            .or(work.link)
            .is_some_and(|parent| told.family.contains(&parent))
        {
            told.family.insert(work.id);
            told.names.insert(work.id, work.name.to_owned());
            let parent = work
                .parent
                .and_then(|parent| told.names.get(&parent).cloned());
            let below = parent
                .map(|parent| format!(" in {parent}"))
                .unwrap_or_default();
            told.lines.push(format!(
                "{}: made as {}{below}",
                work.name,
                work.kind.as_str()
            ));
        }
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
