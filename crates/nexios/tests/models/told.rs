//! What was told of which work.

use std::sync::{Arc, Mutex};

use nexios::observe::{self, Observer, Observing, Outcome, Update, Work, WorkId};

/// No step of the model checker: a call of an observer is one step of its caller.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<(WorkId, &'static str)>>);

impl Told {
    pub(crate) fn begin() -> (Arc<Self>, Observing) {
        let told = Arc::new(Self::default());
        let observing = observe::observe(told.clone());
        (told, observing)
    }

    fn say(&self, id: WorkId, what: &'static str) {
        self.0.lock().expect("nothing panics").push((id, what));
    }

    pub(crate) fn all(&self) -> Vec<(WorkId, &'static str)> {
        self.0.lock().expect("nothing panics").clone()
    }

    pub(crate) fn of(&self, id: WorkId) -> Vec<&'static str> {
        let of_it = self.all().into_iter().filter(|(of, _)| *of == id);
        of_it.map(|(_, what)| what).collect()
    }
}

impl Observer for Told {
    fn made(&self, work: &Work<'_>) {
        self.say(work.id, "made");
    }

    fn started(&self, id: WorkId) {
        self.say(id, "started");
    }

    fn updated(&self, id: WorkId, update: &Update<'_>) {
        self.say(
            id,
            match update {
                Update::Cancelling(_) => "cancelling",
                Update::Adopted => "adopted",
                _ => "update",
            },
        );
    }

    fn ended(&self, id: WorkId, outcome: &Outcome<'_>) {
        self.say(id, outcome.as_str());
    }
}
