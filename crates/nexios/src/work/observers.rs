//! Who observes, and how they are told.
//!
//! Invariants:
//! - Work keeps the list of those who were told that it was made, and tells only them of the rest.
//! - An observer is called without any lock, by whoever does the work; one that panics has observed for the last time.
//! - Once it is detached, and that call has returned, no call of it begins.

use std::{
    cell::Cell,
    convert::Infallible,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
};

use arc_swap::ArcSwapOption;

use super::{
    identity::{WorkId, take_numbers},
    observer::Observer,
};
use crate::{
    log::say,
    panics::{Payload, bury, caught},
};

/// Whether there is anybody. All that unobserved work costs is a look at this.
static ANYBODY: AtomicBool = AtomicBool::new(false);

/// Those who observe now; none at all instead of an empty list.
static OBSERVERS: ArcSwapOption<Observers> = ArcSwapOption::const_empty();

/// Held by who changes the list.
static CHANGE: Mutex<()> = Mutex::new(());

thread_local! {
    /// How many calls of observers are under way on this thread.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// Those who observed at one moment.
pub(super) struct Observers(Vec<Arc<Seat>>);

/// The place of one observer. Empty once it is detached, however long work keeps its list.
struct Seat(ArcSwapOption<Sitter>);

/// An observer in its seat. Only the seat and the calls under way hold this.
struct Sitter {
    observer: Arc<dyn Observer>,
    /// Closed when this is gone, after the observer.
    _present: Sender<Infallible>,
}

/// Whether somebody observes now: for who would have to prepare what there is to say, such as a name.
///
/// Who begins to observe on another thread at this moment may miss the work that is being made, as a whole.
///
/// ```
/// use nexios::observe;
///
/// # let (method, route) = ("GET", "/users/{id}");
/// let request = observe::anybody().then(|| observe::request(format!("{method} {route}")));
/// # assert!(request.is_none());
/// ```
#[inline]
#[must_use]
pub fn anybody() -> bool {
    // Relaxed: nobody synchronises through it.
    ANYBODY.load(Ordering::Relaxed)
}

/// Those who observe now.
pub(super) fn present() -> Option<Arc<Observers>> {
    OBSERVERS.load_full()
}

impl Observers {
    /// Calls `event` with each of them who is still there.
    pub(super) fn tell(&self, event: impl Fn(&dyn Observer)) {
        for seat in &self.0 {
            let mut sitter = Some(seat.0.load());
            if matches!(sitter.as_deref(), Some(None)) {
                continue;
            }
            // To the end of all that is the user's here: the observer, its panic, the log, and its destructor.
            let _call = Calls::enter();
            let called = caught(|| {
                if let Some(Some(sitter)) = sitter.as_deref() {
                    event(&*sitter.observer);
                }
                // The last of an observer that was detached while it was called.
                sitter = None;
            });
            if let Err(payload) = called {
                has_panicked(seat, sitter, payload);
            }
        }
    }
}

/// What is left of a call that panicked: in the observer, or in its destructor if that call was its last.
#[cold]
fn has_panicked(seat: &Arc<Seat>, called: impl Sized, payload: Payload) {
    bury(payload);
    // Whoever empties the seat says so, once.
    if let Some(sitter) = detach(seat) {
        say(|| tracing::error!(target: "nexios::observe", "an observer panicked and is detached"));
        let_go(sitter);
    }
    let_go(called);
}

/// Counts a call, so that an observer that detaches somebody does not wait for itself.
struct Calls;

impl Calls {
    fn enter() -> Self {
        let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
        Self
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        let _ = CALLS.try_with(|calls| calls.set(calls.get() - 1));
    }
}

/// Whether an observer is being called on this thread.
pub(crate) fn is_within_a_call() -> bool {
    // A thread that ends has no count any more, and may be within a call.
    CALLS.try_with(|calls| calls.get() > 0).unwrap_or(true)
}

/// Takes an observer off the list, and out of the lists that work has kept.
fn detach(seat: &Arc<Seat>) -> Option<Arc<Sitter>> {
    change(|seats| seats.retain(|other| !Arc::ptr_eq(other, seat)));
    seat.0.swap(None)
}

fn change(edit: impl FnOnce(&mut Vec<Arc<Seat>>)) {
    let _changing = CHANGE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut seats = OBSERVERS
        .load()
        .as_ref()
        .map(|observers| observers.0.clone())
        .unwrap_or_default();
    edit(&mut seats);
    let anybody = !seats.is_empty();
    OBSERVERS.store(anybody.then(|| Arc::new(Observers(seats))));
    ANYBODY.store(anybody, Ordering::Relaxed);
}

/// Drops an observer, wherever that may be: a destructor that panics does so without us.
fn let_go(sitter: impl Sized) {
    if let Err(payload) = caught(|| drop(sitter)) {
        bury(payload);
    }
}

/// Begins to tell `observer` of all work that is made from now on, until the guard is dropped.
///
/// Several observe at a time, each for itself. From within a call an observer may observe, detach, make work and look
/// around.
///
/// ```
/// use std::sync::Arc;
///
/// use nexios::observe::{self, Observer, Work};
///
/// struct Print;
/// impl Observer for Print {
///     fn made(&self, work: &Work<'_>) {
///         println!("{} {}", work.kind.as_str(), work.name);
///     }
/// }
///
/// let observing = observe::observe(Arc::new(Print));
/// // ... work ...
/// drop(observing);
/// ```
pub fn observe(observer: Arc<dyn Observer>) -> Observing {
    let (present, gone) = channel();
    let sitter = Sitter {
        observer,
        _present: present,
    };
    let seat = Arc::new(Seat(ArcSwapOption::from_pointee(sitter)));
    change(|seats| seats.push(seat.clone()));
    Observing {
        // After that: whatever is given a greater number finds it there.
        since: WorkId(take_numbers(1)),
        seat,
        gone: Mutex::new(gone),
    }
}

/// Somebody observes, until this is dropped.
///
/// The drop waits for the calls that are under way on other threads, so that none begins after it. It must not hold a
/// lock that the observer takes. Within a call of an observer it does not wait.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, mpsc};
/// use nexios::observe::{self, Observer, Work};
///
/// struct Names(mpsc::Sender<String>);
/// impl Observer for Names {
///     fn made(&self, work: &Work<'_>) {
///         let _ = self.0.send(work.name.to_owned());
///     }
/// }
///
/// let (names, heard) = mpsc::channel();
/// let observing = observe::observe(Arc::new(Names(names)));
/// drop(observe::custom("import"));
/// drop(observing); // the observer is gone as well
/// drop(observe::custom("export"));
/// assert_eq!(heard.iter().collect::<Vec<_>>(), ["import"]);
/// ```
#[must_use = "it observes until this is dropped"]
pub struct Observing {
    since: WorkId,
    seat: Arc<Seat>,
    /// Closes when no call of the observer is under way any more. Behind a lock that nobody takes: it makes this `Sync`.
    gone: Mutex<Receiver<Infallible>>,
}

impl Observing {
    /// Work with a greater number was made after it began to observe; what has a smaller one was made before, or while it began.
    ///
    /// It is told of the former alone. Background tasks among the latter are found by
    /// [`tasks_before`](crate::observe::tasks_before).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::sync::Arc;
    /// use nexios::{Background, observe::{self, Observer, WorkId}};
    ///
    /// struct Quiet;
    /// impl Observer for Quiet {}
    ///
    /// let background = Background::new();
    /// let early = background.spawn_future("early", async {});
    /// let observing = observe::observe(Arc::new(Quiet));
    /// let late = background.spawn_future("late", async {});
    /// assert!(WorkId::from(early.id()) < observing.since());
    /// assert!(WorkId::from(late.id()) > observing.since());
    /// # }
    /// ```
    #[must_use]
    pub fn since(&self) -> WorkId {
        self.since
    }
}

impl fmt::Debug for Observing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observing")
            .field("attached", &self.seat.0.load().is_some())
            .finish()
    }
}

impl Drop for Observing {
    fn drop(&mut self) {
        if let Some(sitter) = detach(&self.seat) {
            let_go(sitter);
        }
        // Who waits within a call could wait for itself.
        if !is_within_a_call() {
            let gone = self.gone.get_mut().unwrap_or_else(PoisonError::into_inner);
            // Nothing is ever sent: it ends with the last who could.
            let _ = gone.recv();
        }
    }
}
