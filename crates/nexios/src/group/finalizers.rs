//! What `defer` collected: run last in first out, once, whatever happens.

use std::{future::poll_fn, task::Poll};

use futures_util::future::BoxFuture;

use super::panics::resume_or_log;
use crate::{
    flat_drop::drop_flat,
    panics::{Payload, caught, text_of},
    residue,
};

/// The finalizers of one group. Dropped before they have all run, the rest goes on as tracked background work.
#[derive(Default)]
pub(super) struct Finalizers {
    /// The last is next. The running one stays in its place, so that it is continued, not restarted.
    stack: Vec<BoxFuture<'static, ()>>,
}

impl Finalizers {
    pub(super) fn push(&mut self, finalizer: BoxFuture<'static, ()>) {
        self.stack.push(finalizer);
    }

    /// Runs them all; one that panics does not stop the others. Returns the first panic.
    pub(super) async fn run(&mut self) -> Option<Payload> {
        let mut first = None;
        while !self.stack.is_empty() {
            let polled = poll_fn(|cx| {
                let Some(finalizer) = self.stack.last_mut() else {
                    return Poll::Ready(Ok(()));
                };
                match caught(|| finalizer.as_mut().poll(cx)) {
                    Ok(Poll::Pending) => Poll::Pending,
                    Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
                    Err(payload) => Poll::Ready(Err(payload)),
                }
            })
            .await;
            // Nothing else pushes while they run: the last one is the one that has just ended.
            let ended = self.stack.pop();
            let dropped = caught(|| drop(ended));
            for payload in polled.err().into_iter().chain(dropped.err()) {
                crate::log::say(|| {
                    tracing::error!(
                        panic = text_of(&*payload),
                        "a finalizer of a task group panicked"
                    );
                });
                first.get_or_insert(payload);
            }
        }
        first
    }
}

impl Drop for Finalizers {
    fn drop(&mut self) {
        if self.stack.is_empty() {
            return;
        }
        let mut rest = Unfinished(Self {
            stack: std::mem::take(&mut self.stack),
        });
        let future = async move {
            rest.0.run().await;
        };
        residue::adopt("finalizers of a dropped task group", future);
    }
}

/// Says so if finalizers are lost: there is no runtime to run them, or the drain of the process has cut them off.
struct Unfinished(Finalizers);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let lost = std::mem::take(&mut self.0.stack);
        if !lost.is_empty() {
            crate::log::say(|| {
                tracing::error!(
                    count = lost.len(),
                    "finalizers of a task group were lost: no runtime was left to run them, or no time"
                );
            });
            // They may own the next group with finalizers, and so on.
            if let Err(payload) = drop_flat(lost) {
                resume_or_log(payload);
            }
        }
    }
}
