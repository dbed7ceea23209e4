//! One call of `get` or `refresh`, from its first poll to its answer.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::runtime::Handle;

use super::{
    cell::{Cell, Entrance, Visit},
    driver::launch,
    error::LazyError,
    flight::{Ending, Flight},
    recursion::{Link, Wait},
};

/// The answer to a call.
pub(super) type Answer<T, E> = Result<Arc<T>, LazyError<E>>;

/// The slow way to a value: everything but a fresh value that is there.
pub(super) struct Call<'a, T, E> {
    cell: &'a Arc<Cell<T, E>>,
    /// True when a value that is there is not good enough.
    refresh: bool,
    /// True from the first look on; a call is counted once.
    begun: bool,
    /// The flight that this call waits for.
    waiter: Option<Waiter<'a, T, E>>,
}

impl<'a, T, E> Call<'a, T, E> {
    pub(super) fn new(cell: &'a Arc<Cell<T, E>>, refresh: bool) -> Self {
        Self { cell, refresh, begun: false, waiter: None }
    }

    pub(super) fn cell(&self) -> &'a Arc<Cell<T, E>> {
        self.cell
    }

    /// True while this call waits for a flight.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.waiter.is_some()
    }
}

impl<T: Send + Sync + 'static, E: Send + Sync + 'static> Call<'_, T, E> {
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Answer<T, E>> {
        loop {
            if let Some(waiter) = &self.waiter {
                let ending = ready!(waiter.flight.poll_ending(waiter.key, cx));
                self.waiter = None;
                match ending {
                    Ending::Done(Ok(value)) => return Poll::Ready(Ok(value)),
                    Ending::Done(Err(error)) => return Poll::Ready(self.instead_of(error)),
                    // The runtime that ran the computation is gone; ours takes over.
                    Ending::Lost | Ending::Abandoned => {}
                }
            }
            if let Some(answer) = self.begin() {
                return Poll::Ready(answer);
            }
        }
    }

    /// Answers at once, or leaves a waiter behind.
    fn begin(&mut self) -> Option<Answer<T, E>> {
        let first = !std::mem::replace(&mut self.begun, true);
        let counted = first && !self.refresh;
        let link = Link::current();
        let runtime = Handle::try_current().ok();
        let visit = Visit {
            refresh: self.refresh,
            recursive: link.as_ref().is_some_and(|link| link.includes(self.cell.id())),
            can_launch: runtime.is_some(),
        };
        let counters = &self.cell.counters;
        match self.cell.enter(visit) {
            Entrance::Fresh(value) => {
                counters.count_hit();
                Some(Ok(value))
            }
            Entrance::Stale(value, flight) => {
                counters.count_stale();
                if let Some((flight, runtime)) = flight.zip(runtime) {
                    // No starter: nobody waits for this flight, so it may well ask for who started it.
                    launch(self.cell, &flight, &runtime, None);
                }
                Some(Ok(value))
            }
            Entrance::Failed(error) => {
                counters.count_miss();
                Some(Err(error))
            }
            Entrance::Recursive => Some(Err(LazyError::Recursive)),
            Entrance::NoRuntime if first => panic!(
                "the lazy value `{}` has to be computed, which needs a tokio runtime, and this call is polled outside of one",
                self.cell.name()
            ),
            Entrance::NoRuntime => Some(Err(LazyError::Shutdown)),
            Entrance::Joined(flight, key) => {
                if counted {
                    counters.count_wait();
                }
                let mut waiter = Waiter { cell: self.cell, flight, key, wait: None };
                if let Some(span) = waiter.flight.span().get() {
                    tracing::Span::current().follows_from(span.clone());
                }
                if let Some(link) = link {
                    let Some(wait) = link.wait_for(waiter.flight.id()) else {
                        return Some(Err(LazyError::Recursive));
                    };
                    waiter.wait = Some(wait);
                }
                self.waiter = Some(waiter);
                None
            }
            Entrance::Started(flight, key) => {
                if counted {
                    counters.count_miss();
                }
                let mut waiter = Waiter { cell: self.cell, flight, key, wait: None };
                // A new flight waits for nobody, so this closes no circle.
                waiter.wait = link.as_ref().and_then(|link| link.wait_for(waiter.flight.id()));
                if let Some(runtime) = runtime {
                    launch(self.cell, &waiter.flight, &runtime, link);
                }
                if waiter.flight.is_lost() {
                    // A runtime that shuts down drops what is spawned on it; trying again would never end.
                    return Some(Err(LazyError::Shutdown));
                }
                self.waiter = Some(waiter);
                None
            }
        }
    }

    /// What to answer when the computation failed: the old value, if it may still stand in.
    fn instead_of(&self, error: LazyError<E>) -> Answer<T, E> {
        if self.refresh {
            return Err(error);
        }
        match self.cell.servable().as_deref() {
            Some(Some(entry)) => {
                self.cell.counters.count_stale();
                Ok(Arc::clone(&entry.value))
            }
            _ => Err(error),
        }
    }
}

/// A place among those who wait for a flight; leaving it is dropping it.
struct Waiter<'a, T, E> {
    cell: &'a Cell<T, E>,
    flight: Arc<Flight<T, E>>,
    key: u64,
    /// The edge that this wait adds when it is part of a computation.
    wait: Option<Wait>,
}

impl<T, E> Drop for Waiter<'_, T, E> {
    fn drop(&mut self) {
        // The edge goes first: what the flight drops below may ask for this computation's cell.
        self.wait = None;
        if self.flight.leave(self.key) {
            self.cell.forget(&self.flight);
        }
    }
}
