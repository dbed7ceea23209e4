//! How a future becomes a child, whoever spawns it.

use std::{borrow::Cow, future::Future, sync::Arc};

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tracing::Instrument;

use super::{
    OnError, Task,
    children::Work,
    label::Label,
    outcome::{Ending, Outcome},
    parallel::ParallelChild,
    state::{Shared, next_id},
    wake::Key,
};
use crate::{CancelReason, Interrupted};

/// A handle whose child never was.
fn refused<'env, T: Send, E: Send>(
    shared: Option<Arc<Shared<'env, E>>>,
    key: Key,
    label: Label,
    interrupted: Interrupted,
) -> Task<'env, T, E> {
    let outcome = Outcome::pending(key, label);
    outcome.interrupt(interrupted);
    Task::new(Arc::new(outcome), shared)
}

fn without_group<'env, T: Send, E: Send>(label: Label) -> Task<'env, T, E> {
    let key = Key { slot: u32::MAX, id: next_id() };
    refused(None, key, label, Interrupted::Cancelled(CancelReason::OwnerDropped))
}

/// The child's future: leaves the result with the handle, an error that ends the group with the driver.
fn work<'env, T, E, F>(future: F, outcome: Arc<Outcome<T, E>>, on_error: OnError) -> Work<'env, E>
where
    T: Send + 'env,
    E: Send + 'env,
    F: Future<Output = Result<T, E>> + Send + 'env,
{
    Box::pin(future.map(move |result| match result {
        Err(error) if on_error == OnError::Cancel => Some(error),
        result => {
            outcome.publish(result);
            None
        }
    }))
}

pub(super) fn in_task<'env, T, E, F>(
    shared: Option<Arc<Shared<'env, E>>>,
    label: Label,
    future: F,
) -> Task<'env, T, E>
where
    T: Send + 'env,
    E: Send + 'env,
    F: Future<Output = Result<T, E>> + Send + 'env,
{
    let Some(shared) = shared else { return without_group(label) };
    let id = next_id();
    let mut core = shared.lock();
    if let Some(interrupted) = Shared::refusal(&core) {
        drop(core);
        // Dropped first: a refused future is gone when `spawn` returns.
        drop(future);
        return refused(Some(shared), Key { slot: u32::MAX, id }, label, interrupted);
    }
    let key = core.children.next_key(id);
    let outcome = Arc::new(Outcome::pending(key, label));
    let work = work(future, outcome.clone(), shared.settings.on_error);
    core.children.add(key, outcome.clone(), work, &shared.signals, false);
    shared.release(core);
    Task::new(outcome, Some(shared))
}

pub(super) fn named<'env, T, E, F>(
    shared: Option<Arc<Shared<'env, E>>>,
    name: Cow<'static, str>,
    future: F,
) -> Task<'env, T, E>
where
    T: Send + 'env,
    E: Send + 'env,
    F: Future<Output = Result<T, E>> + Send + 'env,
{
    let span = tracing::debug_span!("task", name = %name);
    in_task(shared, Label::Given(name), future.instrument(span))
}

pub(super) fn daemon<'env, E, F>(shared: &Shared<'env, E>, label: Label, future: F)
where
    E: Send + 'env,
    F: Future<Output = ()> + Send + 'env,
{
    let mut core = shared.lock();
    if Shared::refusal(&core).is_some() {
        drop(core);
        drop(future);
        return;
    }
    let key = core.children.next_key(next_id());
    let outcome: Arc<Outcome<(), E>> = Arc::new(Outcome::pending(key, label));
    let work = Box::pin(future.map(|()| None));
    core.children.add(key, outcome, work, &shared.signals, true);
    shared.release(core);
}

#[track_caller]
pub(super) fn parallel<'env, T, E, F>(
    shared: Option<Arc<Shared<'env, E>>>,
    label: Label,
    future: F,
) -> Task<'env, T, E>
where
    T: Send + 'static,
    E: From<Interrupted> + Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let Ok(runtime) = Handle::try_current() else {
        panic!("spawn_parallel needs a tokio runtime, and there is none here");
    };
    let Some(shared) = shared else { return without_group(label) };
    let id = next_id();
    let mut core = shared.lock();
    if let Some(interrupted) = Shared::refusal(&core) {
        drop(core);
        drop(future);
        return refused(Some(shared), Key { slot: u32::MAX, id }, label, interrupted);
    }
    let key = core.children.next_key(id);
    let outcome = Arc::new(Outcome::pending(key, label.clone()));
    let started = core.children.reserve(key, outcome.clone(), false);
    drop(core);
    // Outside the lock: a runtime that shuts down drops the future on the spot.
    let mut child = ParallelChild::new(future, label, runtime, shared.unwinding.clone());
    if started {
        child.start();
    }
    let work = work(child, outcome.clone(), shared.settings.on_error);
    let mut core = shared.lock();
    let refused = core.children.fill(key, work, &shared.signals);
    shared.release(core);
    drop(refused);
    Task::new(outcome, Some(shared))
}
