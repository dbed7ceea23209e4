//! The future of a part of a group, which says itself what becomes of it.

use std::{
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{
    observed::Part,
    panics::{drop_quietly, resume_or_log},
    turns,
};
use crate::{
    panics::{caught, text_of},
    work::concurrent::End,
};

/// What a part ends with.
pub(super) trait PartResult {
    fn is_failure(&self) -> bool;
}

impl PartResult for () {
    fn is_failure(&self) -> bool {
        false
    }
}

impl<T, E> PartResult for Result<T, E> {
    fn is_failure(&self) -> bool {
        self.is_err()
    }
}

pin_project! {
    /// Polls and drops a future as the part that it is; it is over when the future has been dropped.
    pub(super) struct ObservedFuture<F> {
        #[pin]
        future: Option<F>,
        // None if nobody observes it.
        part: Option<Part>,
    }

    impl<F> PinnedDrop for ObservedFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let Some(part) = this.part.take() else { return };
            let entered = part.enter_blocking();
            let dropped = caught(|| this.future.set(None));
            drop(entered);
            match dropped {
                Ok(()) => {
                    let end = part.cut();
                    part.ended(end);
                }
                Err(payload) => {
                    part.ended(End::Panicked(text_of(&*payload).to_owned()));
                    resume_or_log(payload);
                }
            }
        }
    }
}

impl<F> ObservedFuture<F> {
    pub(super) fn new(future: F, part: Option<Part>) -> Self {
        Self {
            future: Some(future),
            part,
        }
    }
}

impl<F: Future> Future for ObservedFuture<F>
where
    F::Output: PartResult,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if self.part.is_some() {
            return self.poll_observed(cx);
        }
        let future = self.project().future.as_pin_mut();
        future.map_or(Poll::Pending, |future| future.poll(cx))
    }
}

impl<F: Future> ObservedFuture<F>
where
    F::Output: PartResult,
{
    #[cold]
    fn poll_observed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let Some(part) = this.part.as_ref() else {
            return Poll::Pending;
        };
        part.started();
        let entered = part.enter();
        let polled = caught(|| {
            let future = this.future.as_mut().as_pin_mut();
            let polled = future.map_or(Poll::Pending, |future| future.poll(cx));
            if polled.is_ready() {
                // A panic of its destructor is the part's.
                this.future.set(None);
            }
            polled
        });
        if polled.is_err() {
            drop_quietly(caught(|| this.future.set(None)));
        }
        drop(entered);
        if let Ok(Poll::Pending) = polled {
            return Poll::Pending;
        }
        if let Some(part) = this.part.take() {
            match &polled {
                Err(payload) => part.ended(End::Panicked(text_of(&**payload).to_owned())),
                Ok(Poll::Ready(result)) if result.is_failure() => part.failed(turns::was_told()),
                Ok(_) => part.ended(End::Completed),
            }
        }
        polled.unwrap_or_else(|payload| resume_unwind(payload))
    }
}
