//! What the tests of groups share: an error, counted destructors, bounded waits, captured logs.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use nexios::{CancelReason, Interrupted};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_core::span::Current;

#[derive(Debug, PartialEq)]
pub(super) enum Failed {
    With(&'static str),
    Interrupted(Interrupted),
}

impl From<Interrupted> for Failed {
    fn from(interrupted: Interrupted) -> Self {
        Failed::Interrupted(interrupted)
    }
}

/// What a handle or `run` says of a cancellation.
pub(super) fn cancelled(reason: CancelReason) -> Failed {
    Failed::Interrupted(Interrupted::Cancelled(reason))
}

/// What a handle or `run` says at the time limit.
pub(super) fn too_late() -> Failed {
    Failed::Interrupted(Interrupted::DeadlineExceeded)
}

/// Counts its own end.
pub(super) struct CountDrop<'a>(pub(super) &'a AtomicUsize);

impl Drop for CountDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub(super) fn count(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::SeqCst)
}

/// What happened, in order.
#[derive(Default)]
pub(super) struct Diary(Mutex<Vec<&'static str>>);

impl Diary {
    pub(super) fn note(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    pub(super) fn at_drop(&self, what: &'static str) -> AtDrop<'_> {
        AtDrop(self, what)
    }

    pub(super) fn pages(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

/// Writes into the diary when it is dropped.
pub(super) struct AtDrop<'a>(&'a Diary, &'static str);

impl Drop for AtDrop<'_> {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

/// Runs a closure when it is dropped.
pub(super) struct OnDrop<F: FnMut()>(pub(super) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

pub(super) fn after(millis: u64) -> tokio::time::Sleep {
    tokio::time::sleep(Duration::from_millis(millis))
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Fails the test if the future hangs: under a paused clock an hour passes at once.
pub(super) async fn bounded<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(3_600), future).await.expect("the future hangs")
}

/// The same on a clock that runs.
pub(super) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("the future hangs")
}

/// Runs work that may block for good on a thread of its own, and fails the test if it does.
pub(super) fn watched<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(move || {
            let _ = done.send(work());
        })
        .unwrap();
    match result.recv_timeout(Duration::from_secs(30)) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(payload) => std::panic::resume_unwind(payload),
            Ok(()) => panic!("the watched thread ended without a result"),
        },
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the watched thread hangs"),
    }
}

/// Counts how often a future is polled.
pub(super) async fn counting_polls<F: Future>(polls: &AtomicUsize, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        polls.fetch_add(1, Ordering::SeqCst);
        future.as_mut().poll(cx)
    })
    .await
}

/// Gives everything that is ready a chance to run.
pub(super) async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
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
        let logs = Self::default();
        let guard = tracing::subscriber::set_default(logs.clone());
        (logs, guard)
    }

    pub(super) fn at(&self, level: Level) -> Vec<Logged> {
        let captured = self.0.lock().unwrap();
        captured.events.iter().filter(|event| event.level == level).cloned().collect()
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
        let spans = captured.entered.iter().map(|id| captured.spans[id].1.clone()).collect();
        captured.events.push(Logged { level: *event.metadata().level(), text: text.0, spans });
    }

    fn enter(&self, span: &span::Id) {
        self.0.lock().unwrap().entered.push(span.into_u64());
    }

    fn current_span(&self) -> Current {
        let captured = self.0.lock().unwrap();
        captured
            .entered
            .last()
            .map_or_else(Current::none, |id| Current::new(span::Id::from_u64(*id), captured.spans[id].0))
    }

    fn exit(&self, span: &span::Id) {
        let mut captured = self.0.lock().unwrap();
        if let Some(place) = captured.entered.iter().rposition(|id| *id == span.into_u64()) {
            captured.entered.remove(place);
        }
    }
}
