//! A run of the user's closure, until it is dropped.

use std::{future::Future, pin::Pin, time::Duration};

use super::error::LazyError;
use crate::{flat_drop::drop_flat, log, work::concurrent::ConcurrentWork};

/// A computation with its time limit, ready to be polled.
pub(super) type Computation<T, E> = Pin<Box<dyn ComputationFuture<T, E>>>;

/// The future of a computation.
pub(super) trait ComputationFuture<T, E>:
    Future<Output = Result<T, LazyError<E>>> + Send
{
    /// Drops it. If it was the last to wait for another flight, that flight's computation is dropped next and not
    /// inside of it, so a chain of computations may be of any length.
    fn discard(self: Pin<Box<Self>>);

    /// The same, and then says that the work was cut off.
    fn cut_off(self: Pin<Box<Self>>, work: ConcurrentWork);
}

impl<T, E, F: Future<Output = Result<T, LazyError<E>>> + Send + 'static> ComputationFuture<T, E>
    for F
{
    fn discard(self: Pin<Box<Self>>) {
        discard_flat(self);
    }

    fn cut_off(self: Pin<Box<Self>>, work: ConcurrentWork) {
        // The work is dropped second.
        discard_flat((self, work));
    }
}

/// Makes a computation of a user's future, which is dropped at `limit`.
pub(super) fn limited<Fut, T, E>(future: Fut, limit: Option<Duration>) -> Computation<T, E>
where
    Fut: Future<Output = Result<T, E>> + Send + 'static,
{
    Box::pin(async move {
        let outcome = match limit {
            None => future.await,
            // tokio's own looks at its timer outside the budget that the future has spent.
            Some(limit) => tokio::time::timeout(limit, future)
                .await
                .map_err(|_| LazyError::TimedOut)?,
        };
        outcome.map_err(|error| LazyError::Failed(error.into()))
    })
}

/// Drops something of the user's whose destructor may panic, where there is nobody to take the panic.
pub(super) fn discard<V>(value: V) {
    log::contain(|| drop(value), report);
}

/// As [`discard`], on a stack that does not grow when what is dropped owns more of its kind.
pub(super) fn discard_flat<V: 'static>(value: V) {
    if let Err(panic) = drop_flat(value) {
        log::tell(panic, report);
    }
}

fn report(panic: &str) {
    tracing::error!(
        panic,
        "a destructor panicked while a lazy computation or value was dropped"
    );
}
