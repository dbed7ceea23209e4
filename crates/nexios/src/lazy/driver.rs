//! The task that runs one flight's computation.
//!
//! It is spawned by whoever launches the flight and owned by the runtime alone, so callers come and go
//! without it. If the runtime drops it, it says so to those who wait.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::time::Instant;
use tracing::{Level, Span};

use super::{
    cell::ValueCell,
    error::LazyError,
    flight::{Flight, FlightEnd, FlightTurn},
    runtime::Runtime,
};
use crate::{
    log,
    panics::{caught, text_of},
    work::concurrent::{ConcurrentWork, End},
};

/// Starts the computation of `flight` on `runtime`.
pub(super) fn launch<T, E>(
    cell: &Arc<ValueCell<T, E>>,
    flight: &Arc<Flight<T, E>>,
    runtime: &Runtime,
) where
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    // A subscriber that panics must not keep the task from being spawned: others have joined the flight by now.
    let span = log::span(Level::INFO, || {
        tracing::info_span!("lazy", name = cell.name())
    });
    if let Some(id) = span.as_ref().and_then(Span::id) {
        // A flight is launched once, so the place is free.
        let _ = flight.span().set(id);
    }
    flight.announce(|| cell.name());
    runtime.spawn(FlightDriver {
        cell: Arc::clone(cell),
        flight: Arc::clone(flight),
        span,
        begun: None,
    });
}

/// Takes a flight that ended without an outcome out of its cell, and the cell to where it belongs.
pub(super) fn forget<T, E>(cell: &ValueCell<T, E>, flight: &Arc<Flight<T, E>>) {
    cell.forget(flight);
    land(cell);
}

/// Lands a cell; whatever the user's keys do there, those who wait are told next.
fn land<T, E>(cell: &ValueCell<T, E>) {
    log::contain(
        || cell.source().land(cell),
        |panic| {
            let lazy = cell.name();
            tracing::error!(
                lazy,
                panic,
                "a key panicked as its value was put into a lazy map"
            );
        },
    );
}

struct FlightDriver<T, E> {
    cell: Arc<ValueCell<T, E>>,
    flight: Arc<Flight<T, E>>,
    span: Option<Span>,
    /// When it was polled first.
    begun: Option<Instant>,
}

impl<T, E> Future for FlightDriver<T, E> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(outcome) = ready!(self.turn(cx)) {
            self.finish(outcome);
        }
        Poll::Ready(())
    }
}

impl<T, E> FlightDriver<T, E> {
    /// Polls the computation once; `None` when the flight ended without it.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, LazyError<E>>>> {
        let mut computation = match self.flight.take_turn(cx) {
            FlightTurn::Over => return Poll::Ready(None),
            FlightTurn::Start => {
                self.cell.counters.computations.add(1);
                self.begun = Some(Instant::now());
                self.say(ConcurrentWork::started);
                None
            }
            FlightTurn::Resume(computation) => Some(computation),
        };
        let entered = self.flight.observed().and_then(ConcurrentWork::enter);
        // The closure and the future in one: both are the user's, and what panicked is never polled again.
        let polled = caught(|| {
            log::inside(self.span.as_ref(), || {
                self.flight.id().enter(|| {
                    computation
                        .get_or_insert_with(|| self.cell.compute())
                        .as_mut()
                        .poll(cx)
                })
            })
        });
        drop(entered);
        match (polled, computation) {
            (Ok(Poll::Pending), Some(computation)) => {
                if self.flight.put_back(computation) {
                    Poll::Pending
                } else {
                    Poll::Ready(None)
                }
            }
            (polled, computation) => {
                // Before those who wait are told: what it held is free when they have their answer.
                if let Some(computation) = computation {
                    computation.discard();
                }
                Poll::Ready(match polled {
                    Ok(Poll::Ready(outcome)) => Some(outcome),
                    Ok(Poll::Pending) => None,
                    Err(panic) => {
                        self.say(|work| work.ended(|| End::Panicked(text_of(&*panic).to_owned())));
                        let lazy = self.cell.name();
                        log::tell(panic, |panic| {
                            tracing::error!(lazy, panic, "a lazy computation panicked");
                        });
                        Some(Err(LazyError::Panicked))
                    }
                })
            }
        }
    }

    fn say(&self, say: impl FnOnce(&ConcurrentWork)) {
        if let Some(work) = self.flight.observed() {
            say(work);
        }
    }

    /// Tells the user's hook. Before those who wait: who has the error may count on its having been told.
    fn tell_failure(&self, error: &LazyError<E>) {
        log::contain(
            || log::inside(self.span.as_ref(), || self.cell.source().failed(error)),
            |panic| {
                let lazy = self.cell.name();
                tracing::error!(lazy, panic, "the error hook panicked");
            },
        );
    }

    /// Ends the flight with what the computation brought, in this order.
    fn finish(&self, outcome: Result<T, LazyError<E>>) {
        let (cell, flight) = (&*self.cell, &self.flight);
        if outcome.is_err() {
            cell.counters.failures.add(1);
        }
        if let Some(begun) = self.begun {
            cell.counters.note_duration(begun.elapsed());
        }
        self.say(|work| {
            work.ended(|| match &outcome {
                Ok(_) => End::Completed,
                Err(LazyError::TimedOut) => End::TimedOut,
                Err(_) => End::Failed(None),
            });
        });
        let outcome = outcome.map(Arc::new);
        // The weigher is the user's, so it comes before any lock.
        let weight = outcome
            .as_ref()
            .map_or(None, |value| cell.source().weigh(value));
        // First, or who is told of the end and calls again would find neither the value nor a flight, and compute anew.
        let leftover = cell.publish(flight, &outcome, weight);
        // Before the end, or a map could be dropped, counted or reset by whoever is told, with the cell still aloft.
        land(cell);
        if let Err(error) = &outcome {
            self.tell_failure(error);
        }
        // Somebody who waits gets the error, and a panic is in the log; only this one would be lost.
        let silent = matches!(&outcome, Err(error) if !matches!(error, LazyError::Panicked | LazyError::TimedOut));
        let waiters = flight.end(FlightEnd::Done(outcome));
        // Last: the old value's destructor may take its time.
        leftover.discard();
        if silent && waiters == 0 {
            log::say(|| {
                tracing::warn!(
                    lazy = cell.name(),
                    "a lazy computation failed that nobody waited for"
                );
            });
        }
    }
}

impl<T, E> Drop for FlightDriver<T, E> {
    fn drop(&mut self) {
        // The runtime drops it before its time. Whoever has ended the flight otherwise has it out of the cell.
        if !self.flight.is_over() {
            forget(&self.cell, &self.flight);
            self.flight.end(FlightEnd::Lost);
        }
        log::close(self.span.take());
    }
}
