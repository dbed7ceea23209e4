//! How pieces of work ended, as a console would hear of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nexios::observe::{self, Observer, Observing, Outcome, Work, WorkId};

use crate::running::eventually;

/// What has ended since it was begun, of all services of this binary.
#[derive(Default)]
pub(crate) struct Observed {
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    names: HashMap<WorkId, String>,
    ends: Vec<String>,
}

impl Observed {
    pub(crate) fn begin() -> (Arc<Self>, Observing) {
        let observed = Arc::<Observed>::default();
        let observing = observe::observe(observed.clone());
        (observed, observing)
    }

    /// Waits for the end of a piece of work, `GET /sse: Completed`.
    pub(crate) async fn end(&self, line: &str) {
        eventually(|| self.told().ends.iter().any(|end| end == line)).await;
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Observed {
    fn made(&self, work: &Work<'_>) {
        let name = work.name.to_owned();
        self.told().names.insert(work.id, name);
    }

    fn ended(&self, id: WorkId, outcome: &Outcome<'_>) {
        let mut told = self.told();
        if let Some(name) = told.names.remove(&id) {
            told.ends.push(format!("{name}: {outcome:?}"));
        }
    }
}
