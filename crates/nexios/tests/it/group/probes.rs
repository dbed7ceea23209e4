//! What the tests of task groups observe with.

use std::{
    fmt,
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use nexios::{CancelReason, Interrupted, TaskGroup};
use tracing_subscriber::{layer::SubscriberExt, registry::LookupSpan};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Failed {
    With(&'static str),
    Number(usize),
    Interrupted(Interrupted),
}
impl From<Interrupted> for Failed {
    fn from(interrupted: Interrupted) -> Self {
        Failed::Interrupted(interrupted)
    }
}

pub(super) fn cancelled(reason: CancelReason) -> Failed {
    Failed::Interrupted(Interrupted::Cancelled(reason))
}

pub(super) fn too_late() -> Failed {
    Failed::Interrupted(Interrupted::DeadlineExceeded)
}

pub(super) fn group<'env>() -> TaskGroup<'env, Failed> {
    TaskGroup::new()
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn after(ms: u64) -> tokio::time::Sleep {
    tokio::time::sleep(millis(ms))
}

pub(super) async fn never<T>() -> Result<T, Failed> {
    pending().await
}

pub(super) async fn value<T>(ms: u64, value: T) -> Result<T, Failed> {
    after(ms).await;
    Ok(value)
}

pub(super) async fn fails(ms: u64, text: &'static str) -> Result<(), Failed> {
    after(ms).await;
    Err(Failed::With(text))
}

/// Panics once polled, after the given time.
pub(super) async fn panics(ms: u64, text: &'static str) -> Result<(), Failed> {
    after(ms).await;
    panic!("{text}")
}

/// Bounds a future in tokio time, so that a hang is a failure.
pub(super) async fn within<F: Future>(ms: u64, future: F) -> F::Output {
    match tokio::time::timeout(millis(ms), future).await {
        Ok(output) => output,
        Err(_) => panic!("not finished within {ms} ms"),
    }
}

/// Bounds a test in real time, on a thread of its own, so that a deadlock is a failure.
pub(super) fn watched<R: Send + 'static>(seconds: u64, test: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = test();
        let _ = done.send(());
        result
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = finished.recv_timeout(Duration::from_secs(seconds)) {
        panic!("not finished within {seconds} s: a deadlock or a lost wake");
    }
    match thread.join() {
        Ok(result) => result,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// Runs a test on worker threads, bounded by a watchdog.
pub(super) fn on_workers<F>(seconds: u64, test: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    watched(seconds, move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
        runtime.block_on(async { tokio::spawn(test()).await.unwrap() });
    });
}

/// Runs a future that must panic and returns the text of the panic.
pub(super) async fn panic_text(future: impl Future) -> String {
    use futures_util::FutureExt;
    let Err(payload) = std::panic::AssertUnwindSafe(future).catch_unwind().await else {
        panic!("no panic came out");
    };
    text_of(&payload)
}

pub(super) fn text_of(payload: &(dyn std::any::Any + Send)) -> String {
    let payload = payload.downcast_ref::<Box<dyn std::any::Any + Send>>().map_or(payload, |inner| &**inner);
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "(no text)".to_owned())
}

/// Counts who is inside, at most was inside, came in.
#[derive(Clone, Default)]
pub(super) struct Gauge(Arc<Counts>);

#[derive(Default)]
struct Counts {
    live: AtomicUsize,
    most: AtomicUsize,
    entered: AtomicUsize,
}

/// One who is inside.
pub(super) struct Inside(Arc<Counts>);

impl Gauge {
    pub(super) fn enter(&self) -> Inside {
        self.0.entered.fetch_add(1, Ordering::SeqCst);
        self.0.most.fetch_max(self.0.live.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Inside(self.0.clone())
    }

    pub(super) fn live(&self) -> usize {
        self.0.live.load(Ordering::SeqCst)
    }

    pub(super) fn most(&self) -> usize {
        self.0.most.load(Ordering::SeqCst)
    }

    pub(super) fn entered(&self) -> usize {
        self.0.entered.load(Ordering::SeqCst)
    }

    /// `future` counts as inside from now on until it is dropped, polled or not.
    pub(super) fn hold<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let inside = self.enter();
        async move {
            let _inside = inside;
            future.await
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs a closure when it is dropped.
pub(super) struct OnDrop<F: FnMut()>(pub(super) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Events in the order in which they happened.
#[derive(Clone, Default)]
pub(super) struct Order(Arc<Mutex<Vec<String>>>);

impl Order {
    pub(super) fn push(&self, event: impl Into<String>) {
        self.0.lock().unwrap().push(event.into());
    }

    pub(super) fn seen(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn on_drop(&self, event: &'static str) -> OnDrop<impl FnMut() + Send + Sync + use<>> {
        let order = self.clone();
        OnDrop(move || order.push(event))
    }
}

/// Counts the polls of a future.
pub(super) fn counted<F: Future>(polls: &Arc<AtomicUsize>, future: F) -> Counted<F> {
    Counted { polls: polls.clone(), future: Box::pin(future) }
}

pub(super) struct Counted<F> {
    polls: Arc<AtomicUsize>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, Ordering::SeqCst);
        self.future.as_mut().poll(cx)
    }
}

/// A waker that counts.
#[derive(Default)]
pub(super) struct CountWakes(AtomicUsize);

impl CountWakes {
    pub(super) fn new() -> (Arc<Self>, Waker) {
        let count = Arc::new(Self::default());
        (count.clone(), Waker::from(count))
    }

    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls once with a waker that does nothing.
pub(super) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// What was logged on this thread, one line an event: the level, the fields and the names of the spans.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Records everything on this thread until the guard is dropped.
    pub(super) fn record() -> (Self, tracing::subscriber::DefaultGuard) {
        /// With a single dispatcher alive, tracing asks only the current thread's whether a callsite is of
        /// interest, and remembers a "no" from the thread of another test; with several it asks them all.
        static KEPT: LazyLock<[tracing::Dispatch; 2]> =
            LazyLock::new(|| [(); 2].map(|()| tracing::Dispatch::new(tracing_subscriber::registry())));
        LazyLock::force(&KEPT);
        let log = Self::default();
        let subscriber = tracing_subscriber::registry().with(Recorder(log.clone()));
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn with(&self, parts: &[&str]) -> usize {
        self.lines().iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }
}

struct Recorder(Log);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Recorder {
    fn on_event(&self, event: &tracing::Event<'_>, context: tracing_subscriber::layer::Context<'_, S>) {
        let mut line = event.metadata().level().to_string();
        event.record(&mut Text(&mut line));
        for span in context.event_scope(event).into_iter().flatten() {
            line.push_str(" in ");
            line.push_str(span.name());
        }
        self.0.0.lock().unwrap().push(line);
    }
}

struct Text<'a>(&'a mut String);

impl tracing::field::Visit for Text<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}
