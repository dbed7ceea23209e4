//! Aborted parallel children that have not ended yet.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::task::{JoinHandle, coop};

use super::{label::Label, panics::drop_quietly, verdict::Payload, work::End};
use crate::residue;

/// How long `run` waits for an aborted parallel child to unwind.
const LIMIT: Duration = Duration::from_secs(1);

/// The aborted parallel children of one group.
pub(super) struct Unwinding<E> {
    tasks: Vec<Aborted<E>>,
}

/// An aborted child's name and task.
type Aborted<E> = (Label, JoinHandle<End<'static, E>>);

/// The panic of a task that has ended, if that is how it ended, or that of the error it has left.
pub(super) fn panic_of<E>(task: JoinHandle<End<'static, E>>) -> Option<Payload> {
    // It is there already; the runtime's budget must not hide it.
    let look = || coop::unconstrained(task).now_or_never()?.err()?.try_into_panic().ok();
    catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(Some)
}

/// Logs the panic of an aborted child that has ended.
pub(super) fn say_if_panicked<E>((label, task): Aborted<E>) {
    if let Some(payload) = panic_of(task) {
        log_panicked(&label);
        drop_quietly(payload);
    }
}

fn log_panicked(label: &Label) {
    crate::log::say(
        || tracing::error!(child = %label, "an aborted child of a task group panicked while it unwound"),
    );
}

impl<E> Default for Unwinding<E> {
    fn default() -> Self {
        Self { tasks: Vec::new() }
    }
}

impl<E> Unwinding<E> {
    /// Hands back those that have ended meanwhile, to be [looked at](say_if_panicked) outside of locks.
    #[must_use]
    pub(super) fn enter(&mut self, label: Label, task: JoinHandle<End<'static, E>>) -> Vec<Aborted<E>> {
        let ended = self.tasks.extract_if(.., |(_, task)| task.is_finished()).collect();
        self.tasks.push((label, task));
        ended
    }

    /// Waits for all of them, a second at most; who takes longer is left to the process-wide residue.
    pub(super) async fn wait(&mut self) {
        let ended = self.tasks.extract_if(.., |(_, task)| task.is_finished());
        ended.for_each(say_if_panicked);
        if self.tasks.is_empty() {
            return;
        }
        let mut limit = pin!(tokio::time::sleep(LIMIT));
        poll_fn(|cx| {
            self.tasks.retain_mut(|(label, task)| match Pin::new(task).poll(cx) {
                Poll::Pending => true,
                Poll::Ready(joined) => {
                    if joined.is_err_and(|error| error.is_panic()) {
                        log_panicked(label);
                    }
                    false
                }
            });
            if self.tasks.is_empty() { Poll::Ready(()) } else { limit.as_mut().poll(cx) }
        })
        .await;
        for (label, _) in &self.tasks {
            crate::log::say(
                || tracing::warn!(child = %label, "an aborted child of a task group is still running"),
            );
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
