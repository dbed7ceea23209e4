//! Aborted parallel children that have not ended yet.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use tokio::task::JoinHandle;

use super::{label::Label, work::End};
use crate::residue;

/// How long `run` waits for an aborted parallel child to unwind.
const LIMIT: Duration = Duration::from_secs(1);

/// The aborted parallel children of one group.
pub(super) struct Unwinding<E> {
    tasks: Vec<Aborted<E>>,
}

/// An aborted child's name and task.
type Aborted<E> = (Label, JoinHandle<End<'static, E>>);

impl<E> Default for Unwinding<E> {
    fn default() -> Self {
        Self { tasks: Vec::new() }
    }
}

impl<E> Unwinding<E> {
    /// Hands back those that have ended meanwhile, to be dropped outside of locks.
    #[must_use]
    pub(super) fn enter(&mut self, label: Label, task: JoinHandle<End<'static, E>>) -> Vec<Aborted<E>> {
        let ended = self.tasks.extract_if(.., |(_, task)| task.is_finished()).collect();
        self.tasks.push((label, task));
        ended
    }

    /// Waits for all of them, a second at most; who takes longer is left to the process-wide residue.
    pub(super) async fn wait(&mut self) {
        self.tasks.retain(|(_, task)| !task.is_finished());
        if self.tasks.is_empty() {
            return;
        }
        let mut limit = pin!(tokio::time::sleep(LIMIT));
        poll_fn(|cx| {
            self.tasks.retain_mut(|(label, task)| match Pin::new(task).poll(cx) {
                Poll::Pending => true,
                Poll::Ready(joined) => {
                    if joined.is_err_and(|error| error.is_panic()) {
                        tracing::error!(child = %label, "an aborted child of a task group panicked while it unwound");
                    }
                    false
                }
            });
            if self.tasks.is_empty() { Poll::Ready(()) } else { limit.as_mut().poll(cx) }
        })
        .await;
        for (label, _) in &self.tasks {
            tracing::warn!(child = %label, "an aborted child of a task group is still running");
        }
    }
}

impl<E> Drop for Unwinding<E> {
    /// Nobody here waits any more: from now on the drain of the process does.
    fn drop(&mut self) {
        for (label, task) in std::mem::take(&mut self.tasks) {
            if !task.is_finished() {
                residue::leave_aborted(format!("aborted child {label}"), task.abort_handle());
            }
        }
    }
}
