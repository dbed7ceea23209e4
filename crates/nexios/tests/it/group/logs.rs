//! What the tests of task groups see of the log.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_core::span::Current;
use tracing_subscriber::{layer::SubscriberExt, registry::LookupSpan};

/// With a single dispatcher alive, tracing asks only the current thread's whether a callsite is of interest, and
/// remembers a "no" from the thread of another test; with several it asks them all.
fn keep_callsites() {
    static KEPT: LazyLock<[tracing::Dispatch; 2]> =
        LazyLock::new(|| [(); 2].map(|()| tracing::Dispatch::new(tracing_subscriber::registry())));
    LazyLock::force(&KEPT);
}

/// One captured event, with the fields of the spans it happened in, outermost first.
#[derive(Clone, Debug)]
pub(super) struct Logged {
    pub(super) level: Level,
    pub(super) text: String,
    pub(super) spans: Vec<String>,
}

/// Captures what is logged on this thread while the guard lives.
#[derive(Clone, Default)]
pub(super) struct Logs(Arc<Mutex<Captured>>);

#[derive(Default)]
struct Captured {
    events: Vec<Logged>,
    spans: HashMap<u64, (&'static Metadata<'static>, String)>,
    entered: Vec<u64>,
}

impl Logs {
    pub(super) fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        keep_callsites();
        let logs = Self::default();
        let guard = tracing::subscriber::set_default(logs.clone());
        (logs, guard)
    }

    pub(super) fn at(&self, level: Level) -> Vec<Logged> {
        let captured = self.0.lock().unwrap();
        captured
            .events
            .iter()
            .filter(|event| event.level == level)
            .cloned()
            .collect()
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

impl Subscriber for Logs {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("nexios") || metadata.target().starts_with("it")
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let mut text = Text(String::new());
        span.record(&mut text);
        let mut captured = self.0.lock().unwrap();
        let id = captured.spans.len() as u64 + 1;
        captured.spans.insert(id, (span.metadata(), text.0));
        span::Id::from_u64(id)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let mut captured = self.0.lock().unwrap();
        let spans = captured
            .entered
            .iter()
            .map(|id| captured.spans[id].1.clone())
            .collect();
        captured.events.push(Logged {
            level: *event.metadata().level(),
            text: text.0,
            spans,
        });
    }

    fn enter(&self, span: &span::Id) {
        self.0.lock().unwrap().entered.push(span.into_u64());
    }

    fn current_span(&self) -> Current {
        let captured = self.0.lock().unwrap();
        captured.entered.last().map_or_else(Current::none, |id| {
            Current::new(span::Id::from_u64(*id), captured.spans[id].0)
        })
    }

    fn exit(&self, span: &span::Id) {
        let mut captured = self.0.lock().unwrap();
        if let Some(place) = captured
            .entered
            .iter()
            .rposition(|id| *id == span.into_u64())
        {
            captured.entered.remove(place);
        }
    }
}

/// What was logged on this thread, one line an event: the level, the fields and the names of the spans.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Records everything on this thread until the guard is dropped.
    pub(super) fn record() -> (Self, tracing::subscriber::DefaultGuard) {
        keep_callsites();
        let log = Self::default();
        let subscriber = tracing_subscriber::registry().with(Recorder(log.clone()));
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn with(&self, parts: &[&str]) -> usize {
        self.lines()
            .iter()
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .count()
    }
}

struct Recorder(Log);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Recorder {
    fn on_event(
        &self,
        event: &tracing::Event<'_>,
        context: tracing_subscriber::layer::Context<'_, S>,
    ) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let mut line = format!("{} {}", event.metadata().level(), text.0);
        for span in context.event_scope(event).into_iter().flatten() {
            line.push_str("in ");
            line.push_str(span.name());
            line.push(' ');
        }
        self.0.0.lock().unwrap().push(line);
    }
}
