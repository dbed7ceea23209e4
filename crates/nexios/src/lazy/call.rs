//! One call of `get` or `refresh`, from its first poll to its answer.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    cell::{Entrance, ValueCell, Visit},
    driver::{forget, launch},
    error::LazyError,
    flight::{Flight, FlightEnd},
    recursion::{FlightId, Wait},
    runtime::Runtime,
};
use crate::{log, work::waiting::Waiting};

/// The answer to a call.
pub(super) type Answer<T, E> = Result<Arc<T>, LazyError<E>>;

/// How a call comes to its cell: directly, or by a key.
pub(super) trait Site<T, E>: Unpin {
    /// The value if it is fresh, counted as a hit; the quick way, which may miss one.
    fn fresh(&self) -> Option<Arc<T>>;

    /// Finds the cell, and what there is. The cell of a started flight stays where others find it until that
    /// ends.
    fn enter(&self, visit: Visit) -> (Arc<ValueCell<T, E>>, Entrance<T, E>);
}

/// A call of `get` or, if `REFRESH`, one to which a value that is there is not good enough.
pub(super) struct LazyCall<S, T, E, const REFRESH: bool> {
    site: S,
    /// The flight that this call waits for; in a box, since most calls wait for none.
    waiter: Option<Box<FlightWaiter<T, E>>>,
}

impl<S, T, E, const REFRESH: bool> LazyCall<S, T, E, REFRESH> {
    #[inline]
    pub(super) fn new(site: S) -> Self {
        Self { site, waiter: None }
    }

    #[inline]
    pub(super) fn site(&self) -> &S {
        &self.site
    }

    /// True while this call waits for a flight.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.waiter.is_some()
    }
}

impl<S, T, E, const REFRESH: bool> Future for LazyCall<S, T, E, REFRESH>
where
    S: Site<T, E>,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    type Output = Answer<T, E>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !REFRESH
            && !self.is_waiting()
            && let Some(value) = self.site.fresh()
        {
            return Poll::Ready(Ok(value));
        }
        self.poll_slowly(cx)
    }
}

impl<S, T, E, const REFRESH: bool> LazyCall<S, T, E, REFRESH>
where
    S: Site<T, E>,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// The way to everything but a fresh value that is there, and out of the way of those who find one.
    #[inline(never)]
    pub(super) fn poll_slowly(&mut self, cx: &Context<'_>) -> Poll<Answer<T, E>> {
        let mut first = !self.is_waiting();
        loop {
            if let Some(waiter) = &self.waiter {
                let ending = ready!(waiter.flight.poll_ending(waiter.key, cx));
                let cell = Arc::clone(&waiter.cell);
                self.waiter = None;
                match ending {
                    FlightEnd::Done(Ok(value)) => return Poll::Ready(Ok(value)),
                    FlightEnd::Done(Err(error)) => {
                        return Poll::Ready(self.instead_of(&cell, error));
                    }
                    // The runtime that ran the computation is gone; ours takes over.
                    FlightEnd::Lost | FlightEnd::Abandoned => {}
                }
            }
            if let Some(answer) = self.begin(first) {
                return Poll::Ready(answer);
            }
            first = false;
        }
    }

    /// Answers at once, or leaves a waiter behind. The first look alone is counted.
    fn begin(&mut self, first: bool) -> Option<Answer<T, E>> {
        let counted = first && !REFRESH;
        let caller = FlightId::current();
        let runtime = Runtime::try_current().ok();
        let visit = Visit {
            refresh: REFRESH,
            caller,
            can_launch: runtime.is_some(),
        };
        let (cell, entrance) = self.site.enter(visit);
        let counters = &cell.counters;
        match entrance {
            Entrance::Fresh(value) => {
                counters.hits.add(1);
                Some(Ok(value))
            }
            Entrance::Stale(value, flight) => {
                counters.stale.add(1);
                if let Some((flight, runtime)) = flight.zip(runtime) {
                    // Nobody waits for this flight, so it may well ask for who started it.
                    launch(&cell, &flight, &runtime);
                }
                Some(Ok(value))
            }
            Entrance::Failed(error) => {
                counters.misses.add(1);
                Some(Err(error))
            }
            Entrance::Recursive => Some(Err(LazyError::Recursive)),
            Entrance::NoRuntime if first => panic!(
                "the lazy value `{}` has to be computed, which needs a tokio runtime, and this call is polled outside of one",
                cell.name()
            ),
            Entrance::NoRuntime => Some(Err(LazyError::Shutdown)),
            Entrance::Joined(flight, key) => {
                if counted {
                    counters.waits.add(1);
                }
                let mut waiter = Box::new(FlightWaiter {
                    cell,
                    flight,
                    key,
                    wait: None,
                    waiting: None,
                });
                if let Some(span) = waiter.flight.span().get() {
                    log::say(|| {
                        tracing::Span::current().follows_from(span.clone());
                    });
                }
                if let Some(caller) = caller {
                    let Some(wait) = caller.wait_for(waiter.flight.id()) else {
                        return Some(Err(LazyError::Recursive));
                    };
                    waiter.wait = Some(wait);
                }
                waiter.begin();
                self.waiter = Some(waiter);
                None
            }
            Entrance::Started(flight, key) => {
                if counted {
                    counters.misses.add(1);
                }
                let mut waiter = Box::new(FlightWaiter {
                    cell,
                    flight,
                    key,
                    wait: None,
                    waiting: None,
                });
                // A new flight waits for nobody, so this closes no circle.
                waiter.wait = caller.and_then(|caller| caller.wait_for(waiter.flight.id()));
                if let Some(runtime) = runtime {
                    launch(&waiter.cell, &waiter.flight, &runtime);
                }
                if waiter.flight.is_lost() {
                    // A runtime that shuts down drops what is spawned on it; trying again would never end.
                    return Some(Err(LazyError::Shutdown));
                }
                waiter.begin();
                self.waiter = Some(waiter);
                None
            }
        }
    }

    /// What to answer when the computation failed: the old value, if it may still stand in.
    fn instead_of(&self, cell: &ValueCell<T, E>, error: LazyError<E>) -> Answer<T, E> {
        if REFRESH {
            return Err(error);
        }
        match cell.servable().as_deref() {
            Some(Some(entry)) => {
                cell.counters.stale.add(1);
                Ok(Arc::clone(&entry.value))
            }
            _ => Err(error),
        }
    }
}

/// A place among those who wait for a flight; leaving it is dropping it.
struct FlightWaiter<T, E> {
    cell: Arc<ValueCell<T, E>>,
    flight: Arc<Flight<T, E>>,
    key: u64,
    /// The edge that this wait adds when it is part of a computation.
    wait: Option<Wait>,
    /// What the work that waits says of it.
    waiting: Option<Waiting>,
}

impl<T, E> FlightWaiter<T, E> {
    /// Says that what runs here waits.
    fn begin(&mut self) {
        self.waiting = Waiting::begin(|| self.cell.name(), || self.flight.observed()?.id());
    }
}

impl<T, E> Drop for FlightWaiter<T, E> {
    fn drop(&mut self) {
        // It waits no longer, whatever the flight's end brings about.
        self.waiting = None;
        // The edge goes first: what the flight drops below may ask for this computation's cell.
        self.wait = None;
        if self.flight.leave(self.key) {
            forget(&self.cell, &self.flight);
        }
    }
}
