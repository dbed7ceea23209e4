//! How a future becomes a child, whoever spawns it.

use std::{borrow::Cow, future::Future, sync::Arc};

use tokio::runtime::Handle;
use tracing::Instrument;

use super::{
    Task,
    children::{Place, take_ids},
    label::Label,
    outcome::Outcome,
    state::Shared,
    work::{Parallel, Work},
};
use crate::{CancelReason, Interrupted};

/// A handle whose child never was.
fn refused<'env, T, E>(
    shared: Option<Arc<Shared<'env, E>>>,
    label: Label,
    interrupted: Interrupted,
) -> Task<'env, T, E> {
    let place = Place { slot: u32::MAX, id: take_ids(1).start };
    Task::new(place, label, Outcome::interrupted(interrupted), shared)
}

fn without_group<'env, T, E>(label: Label) -> Task<'env, T, E> {
    refused(None, label, Interrupted::Cancelled(CancelReason::OwnerDropped))
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
    let outcome = Outcome::pending();
    let work = Work::in_task(future, outcome.clone(), shared.settings.on_error);
    let mut core = shared.lock();
    if let Some(interrupted) = Shared::refusal(&core) {
        drop(core);
        // Dropped first: a refused future is gone when `spawn` returns.
        drop(work);
        return refused(Some(shared), label, interrupted);
    }
    let place = core.children.next_place();
    core.children.add(place, label.clone(), work, false);
    shared.release(core);
    Task::new(place, label, outcome, Some(shared))
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
    let work = Work::daemon(future);
    let mut core = shared.lock();
    if Shared::refusal(&core).is_some() {
        drop(core);
        drop(work);
        return;
    }
    let place = core.children.next_place();
    core.children.add(place, label, work, true);
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
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let Ok(runtime) = Handle::try_current() else {
        panic!("spawn_parallel needs a tokio runtime, and there is none here");
    };
    let Some(shared) = shared else { return without_group(label) };
    let mut core = shared.lock();
    if let Some(interrupted) = Shared::refusal(&core) {
        drop(core);
        drop(future);
        return refused(Some(shared), label, interrupted);
    }
    let place = core.children.next_place();
    let at_once = core.children.reserve(place, label.clone());
    drop(core);
    // Outside the lock: a runtime that shuts down drops the future on the spot.
    let outcome = Outcome::pending();
    let work =
        Work::Parallel(Parallel::new(future, outcome.clone(), shared.settings.on_error, runtime, at_once));
    let mut core = shared.lock();
    let late = core.children.fill(place, work).err();
    shared.release(core);
    if let Some(work) = late {
        shared.end_late(place, label.clone(), work);
    }
    Task::new(place, label, outcome, Some(shared))
}
