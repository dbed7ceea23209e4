//! What was told, in its order.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use nexios::observe::{self, Observer, Observing, Outcome, Update, Work, WorkId, WorkKind};

#[derive(Debug, Clone)]
pub(crate) enum Told {
    Made {
        id: WorkId,
        parent: Option<WorkId>,
        link: Option<WorkId>,
        kind: WorkKind,
        name: String,
    },
    Started(WorkId),
    Updated(WorkId, Kept),
    /// With the outcome.
    Ended(WorkId, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Cancelling,
    Waiting,
    Resumed,
    Adopted,
    Other,
}

#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<Told>>);

impl Recorder {
    pub(crate) fn begin() -> (Arc<Self>, Observing) {
        let recorder = Arc::new(Self::default());
        let observing = observe::observe(recorder.clone());
        (recorder, observing)
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn living(&self) -> usize {
        let told = self.0.lock().unwrap();
        let made = told.iter().filter(|told| matches!(told, Told::Made { .. }));
        let ended = told.iter().filter(|told| matches!(told, Told::Ended(..)));
        made.count().saturating_sub(ended.count())
    }

    fn keep(&self, told: Told) {
        self.0.lock().unwrap().push(told);
    }
}

impl Observer for Recorder {
    fn made(&self, work: &Work<'_>) {
        self.keep(Told::Made {
            id: work.id,
            parent: work.parent,
            link: work.link,
            kind: work.kind,
            name: work.name.to_owned(),
        });
    }

    fn started(&self, id: WorkId) {
        self.keep(Told::Started(id));
    }

    fn updated(&self, id: WorkId, update: &Update<'_>) {
        let kept = match update {
            Update::Cancelling(_) => Kept::Cancelling,
            Update::Waiting { .. } => Kept::Waiting,
            Update::Resumed => Kept::Resumed,
            Update::Adopted => Kept::Adopted,
            _ => Kept::Other,
        };
        self.keep(Told::Updated(id, kept));
    }

    fn ended(&self, id: WorkId, outcome: &Outcome<'_>) {
        self.keep(Told::Ended(id, format!("{outcome:?}")));
    }
}

/// Does something of its own at one call, and makes a note of those that come after.
pub(crate) struct Meddler {
    at: usize,
    calls: AtomicUsize,
    pub(crate) trick: Trick,
    /// Another one, whom it detaches or lets in.
    pub(crate) other: Arc<Mutex<Option<Observing>>>,
    pub(crate) heard: Arc<Recorder>,
    within: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trick {
    Panics,
    LetsAnotherIn,
    SendsAnotherAway,
    MakesWork,
    LooksAround,
}

impl Meddler {
    pub(crate) fn new(trick: Trick, at: usize) -> Arc<Self> {
        Arc::new(Self {
            at,
            calls: AtomicUsize::new(0),
            trick,
            other: Arc::default(),
            heard: Arc::default(),
            within: AtomicBool::new(false),
        })
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn called(&self) {
        // What it makes is told to it as well.
        if self.within.load(SeqCst) {
            return;
        }
        let call = self.calls.fetch_add(1, SeqCst);
        let every = matches!(self.trick, Trick::MakesWork | Trick::LooksAround);
        if call < self.at || call > self.at && !every {
            return;
        }
        match self.trick {
            // Without a word of the hook.
            Trick::Panics => std::panic::resume_unwind(Box::new("the observer")),
            Trick::LetsAnotherIn => {
                let observing = observe::observe(self.heard.clone());
                *self.other.lock().unwrap() = Some(observing);
            }
            Trick::SendsAnotherAway => {
                let observing = self.other.lock().unwrap().take();
                drop(observing);
            }
            Trick::MakesWork => {
                self.within.store(true, SeqCst);
                let work = observe::custom("of the observer");
                work.scope(|| drop(observe::custom("deeper")));
                drop(work);
                self.within.store(false, SeqCst);
            }
            Trick::LooksAround => drop((observe::current(), observe::snapshot())),
        }
    }
}

impl Observer for Meddler {
    fn made(&self, _: &Work<'_>) {
        self.called();
    }

    fn started(&self, _: WorkId) {
        self.called();
    }

    fn updated(&self, _: WorkId, _: &Update<'_>) {
        self.called();
    }

    fn ended(&self, _: WorkId, _: &Outcome<'_>) {
        self.called();
    }
}
