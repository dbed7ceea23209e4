use super::{
    identity::{Work, WorkId},
    outcome::{Outcome, Update},
};

/// Hears of all work that is made while it observes, and of nothing else: whoever comes later hears no start, no update
/// and no end of what was made before.
///
/// Every [`made`](Self::made) is followed by at most one [`started`](Self::started) and by exactly one
/// [`ended`](Self::ended), on every path: a drop, a panic, a runtime that is shut down. What is called from several threads
/// may come at the same time. The calls are made by the code that does the work, in the middle of it: an observer takes
/// its note and returns, and does not wait for anything. No lock of ours is held.
///
/// # Panics
///
/// An observer that panics is detached, with one line in the log; the work goes on.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
///
/// use nexios::observe::{self, Observer, Outcome, WorkId};
///
/// #[derive(Default)]
/// struct Ends(AtomicU64);
/// impl Observer for Ends {
///     fn ended(&self, _: WorkId, _: &Outcome<'_>) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
///
/// let ends = Arc::new(Ends::default());
/// let observing = observe::observe(ends.clone());
/// drop(observe::custom("something"));
/// drop(observing);
/// drop(observe::custom("nobody looks"));
/// assert_eq!(ends.0.load(Ordering::Relaxed), 1);
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Work exists. Its parent, if it has one, was told before.
    fn made(&self, work: &Work<'_>) {
        let _ = work;
    }

    /// It is polled or run for the first time.
    fn started(&self, id: WorkId) {
        let _ = id;
    }

    /// Something happened to it.
    fn updated(&self, id: WorkId, update: &Update<'_>) {
        let _ = (id, update);
    }

    /// It is over. Nothing is said of it again.
    fn ended(&self, id: WorkId, outcome: &Outcome<'_>) {
        let _ = (id, outcome);
    }
}
