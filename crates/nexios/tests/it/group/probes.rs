//! What the tests of task groups observe with.

use std::{
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use nexios::{CancelReason, Interrupted, TaskGroup};

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

pub(super) const fn millis(millis: u64) -> Duration {
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

pub(super) async fn value_after(millis: u64) -> Result<u64, Failed> {
    value(millis, millis).await
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

/// Runs a test that may block for good on a thread of its own, with a deep stack, so that a deadlock is a failure.
pub(super) fn watched<R: Send + 'static>(test: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, finished) = mpsc::channel();
    let run = move || {
        let result = test();
        let _ = done.send(());
        result
    };
    let thread = thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(run)
        .unwrap();
    if let Err(mpsc::RecvTimeoutError::Timeout) = finished.recv_timeout(Duration::from_secs(30)) {
        panic!("not finished within 30 s: a deadlock or a lost wake");
    }
    match thread.join() {
        Ok(result) => result,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// Runs a test on worker threads, bounded by a watchdog.
pub(super) fn on_workers<F>(test: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    watched(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(3)
            .enable_all()
            .build()
            .unwrap();
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
    let payload = payload
        .downcast_ref::<Box<dyn std::any::Any + Send>>()
        .map_or(payload, |inner| &**inner);
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
        self.0.most.fetch_max(
            self.0.live.fetch_add(1, Ordering::SeqCst) + 1,
            Ordering::SeqCst,
        );
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

    pub(super) fn on_drop(
        &self,
        event: &'static str,
    ) -> OnDrop<impl FnMut() + Send + Sync + use<>> {
        let order = self.clone();
        OnDrop(move || order.push(event))
    }
}

/// Counts the polls of a future.
pub(super) fn counted<F: Future>(polls: &Arc<AtomicUsize>, future: F) -> Counted<F> {
    Counted {
        polls: polls.clone(),
        future: Box::pin(future),
    }
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

/// Fails the test if the future hangs: under a paused clock an hour passes at once.
pub(super) async fn bounded<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(3_600), future)
        .await
        .expect("the future hangs")
}

/// The same on a clock that runs.
pub(super) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("the future hangs")
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
