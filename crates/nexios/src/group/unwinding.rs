//! Aborted parallel children that have not ended yet.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::task::{AbortHandle, JoinHandle};

use super::{label::ChildLabel, panics::drop_quietly};
use crate::{
    panics::caught,
    punctual::{poll_punctual, punctual},
    residue,
};

/// How long `run` waits for an aborted parallel child to unwind.
const LIMIT: Duration = Duration::from_secs(1);

/// So many are kept before it is looked whether some have ended.
const LOOK_FROM: usize = 64;

/// The aborted parallel children of one group.
pub(super) struct UnwindingChildren<'env> {
    tasks: Vec<Aborted<'env>>,
    /// How many may be kept until the next look; twice what the last one left, so that looking stays cheap.
    look_at: usize,
}

/// An aborted child.
pub(super) struct Aborted<'env> {
    label: ChildLabel,
    abort: AbortHandle,
    /// Waits for the task, and logs its panic.
    ended: BoxFuture<'env, ()>,
}

impl<'env> Aborted<'env> {
    pub(super) fn new<T, E>(label: ChildLabel, task: JoinHandle<Result<T, E>>) -> Self
    where
        T: Send + 'env,
        E: Send + 'env,
    {
        let (abort, name) = (task.abort_handle(), label.clone());
        let ended = Box::pin(async move {
            // What it returned all the same is of no use to anybody, but its destructor is code of others.
            let panicked = match task.await {
                Ok(result) => caught(|| drop(result)),
                Err(error) => error.try_into_panic().map_or(Ok(()), Err),
            };
            if let Err(payload) = panicked {
                crate::log::say(
                    || tracing::error!(child = %name, "an aborted child of a task group panicked while it unwound"),
                );
                drop_quietly(payload);
            }
        });
        Self {
            label,
            abort,
            ended,
        }
    }

    /// Logs the panic of one that has ended.
    pub(super) fn say_if_panicked(mut self) {
        // It is there already.
        let _ = punctual(self.ended.as_mut()).now_or_never();
    }
}

impl Default for UnwindingChildren<'_> {
    fn default() -> Self {
        Self {
            tasks: Vec::new(),
            look_at: LOOK_FROM,
        }
    }
}

impl<'env> UnwindingChildren<'env> {
    /// Hands back those that have ended meanwhile, to be [looked at](Aborted::say_if_panicked) outside of locks.
    #[must_use]
    pub(super) fn enter(&mut self, task: Aborted<'env>) -> Vec<Aborted<'env>> {
        self.tasks.push(task);
        if self.tasks.len() < self.look_at {
            return Vec::new();
        }
        let ended = self
            .tasks
            .extract_if(.., |task| task.abort.is_finished())
            .collect();
        self.look_at = LOOK_FROM.max(2 * self.tasks.len());
        ended
    }

    /// Waits for all of them, a second at most; who takes longer is left to the process-wide residue.
    pub(super) async fn wait(&mut self) {
        self.say_who_panicked();
        if self.tasks.is_empty() {
            return;
        }
        let mut limit = pin!(tokio::time::sleep(LIMIT));
        // One after the other: all have to be waited for, and a look at all for each that ends would be one at n times n.
        poll_fn(|cx| {
            while let Some(task) = self.tasks.last_mut() {
                if poll_punctual(task.ended.as_mut(), cx).is_pending() {
                    return poll_punctual(limit.as_mut(), cx);
                }
                self.tasks.pop();
            }
            Poll::Ready(())
        })
        .await;
        // Those behind one that is still running may have ended.
        self.say_who_panicked();
        for task in &self.tasks {
            crate::log::say(
                || tracing::warn!(child = %task.label, "an aborted child of a task group is still running"),
            );
        }
    }

    fn say_who_panicked(&mut self) {
        self.tasks
            .extract_if(.., |task| task.abort.is_finished())
            .for_each(Aborted::say_if_panicked);
    }
}

impl Drop for UnwindingChildren<'_> {
    /// Nobody here waits any more: from now on the drain of the process does.
    fn drop(&mut self) {
        self.say_who_panicked();
        for task in std::mem::take(&mut self.tasks) {
            residue::leave_aborted(format!("aborted child {}", task.label), task.abort);
        }
    }
}
