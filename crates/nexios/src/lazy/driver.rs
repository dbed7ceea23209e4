//! The task that runs one flight's computation.
//!
//! It is spawned by whoever launches the flight and owned by the runtime alone, so callers come and go
//! without it. If the runtime drops it, it says so to those who wait.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::time::Instant;
use tracing::Span;

use super::{
    cell::Cell,
    error::LazyError,
    flight::{Ending, Flight, Turn, discard},
    runtime::Runtime,
};

/// Starts the computation of `flight` on `runtime`.
pub(super) fn launch<T, E>(cell: &Arc<Cell<T, E>>, flight: &Arc<Flight<T, E>>, runtime: &Runtime)
where
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    let span = tracing::info_span!("lazy", name = cell.name());
    if let Some(id) = span.id() {
        // A flight is launched once, so the place is free.
        let _ = flight.span().set(id);
    }
    runtime.spawn(Driver {
        cell: Arc::clone(cell),
        flight: Arc::clone(flight),
        span,
        begun: None,
        over: false,
    });
}

struct Driver<T, E> {
    cell: Arc<Cell<T, E>>,
    flight: Arc<Flight<T, E>>,
    span: Span,
    /// When it was polled first.
    begun: Option<Instant>,
    /// True when there is nothing left to do for the flight.
    over: bool,
}

impl<T, E> Future for Driver<T, E> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.over {
            let outcome = ready!(self.drive(cx));
            self.over = true;
            if let Some(outcome) = outcome {
                self.finish(outcome);
            }
        }
        Poll::Ready(())
    }
}

impl<T, E> Driver<T, E> {
    /// Polls the computation once; `None` when the flight ended without it.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, LazyError<E>>>> {
        let mut computation = match self.flight.take_turn(cx) {
            Turn::Over => return Poll::Ready(None),
            Turn::Start => None,
            Turn::Resume(computation) => Some(computation),
        };
        let first = computation.is_none();
        if first {
            self.cell.counters.count_computation();
            self.begun = Some(Instant::now());
        }
        // Unwind safety: whatever panicked is dropped below, and never polled again.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            self.span.in_scope(|| {
                self.flight
                    .id()
                    .enter(|| computation.get_or_insert_with(|| self.cell.compute()).as_mut().poll(cx))
            })
        }));
        match polled {
            Ok(Poll::Pending) => {
                let returned = computation.and_then(|computation| self.flight.put_back(computation).err());
                match returned {
                    None => Poll::Pending,
                    Some(unwanted) => {
                        unwanted.discard();
                        Poll::Ready(None)
                    }
                }
            }
            Ok(Poll::Ready(outcome)) => {
                if let Some(computation) = computation {
                    computation.discard();
                }
                Poll::Ready(Some(outcome))
            }
            Err(panic) => {
                if let Some(computation) = computation {
                    computation.discard();
                }
                crate::log::say(|| {
                    tracing::error!(
                        lazy = self.cell.name(),
                        panic = message(&*panic),
                        "a lazy computation panicked"
                    );
                });
                discard(panic);
                Poll::Ready(Some(Err(LazyError::Panicked)))
            }
        }
    }

    fn finish(&self, outcome: Result<T, LazyError<E>>) {
        let kind = outcome.as_ref().err().map(std::mem::discriminant);
        if kind.is_some() {
            self.cell.counters.count_failure();
        }
        if let Some(begun) = self.begun {
            self.cell.counters.note_duration(begun.elapsed());
        }
        let waiters = self.cell.complete(&self.flight, outcome);
        // Somebody who waits gets the error, and a panic is in the log; only this one would be lost.
        let failed = kind.is_some_and(|kind| {
            kind != std::mem::discriminant(&LazyError::Panicked)
                && kind != std::mem::discriminant(&LazyError::TimedOut)
        });
        if failed && waiters == 0 {
            crate::log::say(|| {
                tracing::warn!(lazy = self.cell.name(), "a lazy computation failed that nobody waited for");
            });
        }
    }
}

impl<T, E> Drop for Driver<T, E> {
    fn drop(&mut self) {
        if !self.over {
            self.cell.forget(&self.flight);
            self.flight.end(Ending::Lost);
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}
