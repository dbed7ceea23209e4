//! Aborted parallel children that have not ended yet.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::task::{JoinError, JoinHandle};

use super::{label::Label, panics::drop_quietly, verdict::Payload, work::End};
use crate::{
    punctual::{poll_punctual, punctual},
    residue,
};

/// How long `run` waits for an aborted parallel child to unwind.
const LIMIT: Duration = Duration::from_secs(1);

/// So many are kept before it is looked whether some have ended.
const LOOK_FROM: usize = 64;

/// The aborted parallel children of one group.
pub(super) struct Unwinding<E> {
    tasks: Vec<Aborted<E>>,
    /// How many may be kept until the next look; twice what the last one left, so that looking stays cheap.
    look_at: usize,
}

/// An aborted child's name and task.
type Aborted<E> = (Label, JoinHandle<End<'static, E>>);

/// What a task has left that has ended.
pub(super) enum Left<E> {
    Nothing,
    Error(E),
    Panic(Payload),
}

impl<E> Left<E> {
    fn of(joined: Result<End<'static, E>, JoinError>) -> Self {
        match joined {
            Ok(End::Failed(failure)) => Self::Error(failure.error),
            Ok(End::Panicked(payload)) => Self::Panic(*payload),
            Ok(End::Published | End::Unseen) => Self::Nothing,
            Err(error) => error.try_into_panic().map_or(Self::Nothing, Self::Panic),
        }
    }

    /// Logs the panic of an aborted child, or that of the error it has left, which nobody waits for any more.
    fn say_if_panicked(self, label: &Label) {
        let dropped = match self {
            Self::Nothing => return,
            Self::Panic(payload) => Err(payload),
            Self::Error(error) => catch_unwind(AssertUnwindSafe(|| drop(error))),
        };
        if let Err(payload) = dropped {
            crate::log::say(
                || tracing::error!(child = %label, "an aborted child of a task group panicked while it unwound"),
            );
            drop_quietly(payload);
        }
    }
}

/// What a task that has ended has left for the group.
pub(super) fn left_by<E>(task: JoinHandle<End<'static, E>>) -> Left<E> {
    // It is there already.
    punctual(task).now_or_never().map_or(Left::Nothing, Left::of)
}

/// Logs the panic of an aborted child that has ended.
pub(super) fn say_if_panicked<E>((label, task): Aborted<E>) {
    left_by(task).say_if_panicked(&label);
}

impl<E> Default for Unwinding<E> {
    fn default() -> Self {
        Self { tasks: Vec::new(), look_at: LOOK_FROM }
    }
}

impl<E> Unwinding<E> {
    /// Hands back those that have ended meanwhile, to be [looked at](say_if_panicked) outside of locks.
    #[must_use]
    pub(super) fn enter(&mut self, label: Label, task: JoinHandle<End<'static, E>>) -> Vec<Aborted<E>> {
        self.tasks.push((label, task));
        if self.tasks.len() < self.look_at {
            return Vec::new();
        }
        let ended = self.tasks.extract_if(.., |(_, task)| task.is_finished()).collect();
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
            while let Some((label, task)) = self.tasks.last_mut() {
                let Poll::Ready(joined) = poll_punctual(Pin::new(task), cx) else {
                    return poll_punctual(limit.as_mut(), cx);
                };
                Left::of(joined).say_if_panicked(label);
                self.tasks.pop();
            }
            Poll::Ready(())
        })
        .await;
        self.say_who_panicked();
        for (label, _) in &self.tasks {
            crate::log::say(
                || tracing::warn!(child = %label, "an aborted child of a task group is still running"),
            );
        }
    }
}

impl<E> Unwinding<E> {
    fn say_who_panicked(&mut self) {
        self.tasks.extract_if(.., |(_, task)| task.is_finished()).for_each(say_if_panicked);
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
