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
    wakers::Report,
    work::Work,
};
use crate::{CancelReason, Interrupted};

/// Makes a handle whose child never was. What was refused is dropped before this returns.
fn refuse<'env, T, E>(
    shared: Option<Arc<Shared<'env, E>>>,
    outcome: Arc<Outcome<T, E>>,
    interrupted: Interrupted,
    refused: impl Sized,
) -> Task<'env, T, E> {
    outcome.interrupt(interrupted);
    outcome.set_place(Place { slot: u32::MAX, id: take_ids(1).start });
    drop(refused);
    Task::new(outcome, shared)
}

/// Why a child of a group that is gone is refused.
const NO_GROUP: Interrupted = Interrupted::Cancelled(CancelReason::OwnerDropped);

/// Adds an in-task child, or hands it back.
fn admit<'env, E>(
    shared: &Shared<'env, E>,
    label: Label,
    work: Work<'env, E>,
    daemon: bool,
) -> Result<Place, (Interrupted, Work<'env, E>)> {
    let mut core = shared.lock();
    if let Some(interrupted) = Shared::refusal(&core) {
        return Err((interrupted, work));
    }
    let place = core.children.add(label, work, daemon);
    shared.release(core);
    Ok(place)
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
    let outcome = Outcome::pending(label.clone());
    let Some(shared) = shared else { return refuse(None, outcome, NO_GROUP, future) };
    let work = Work::in_task(future, outcome.clone(), shared.settings.on_error);
    match admit(&shared, label, work, false) {
        Ok(place) => outcome.set_place(place),
        Err((interrupted, work)) => return refuse(Some(shared), outcome, interrupted, work),
    }
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
    in_task(shared, name.into(), future.instrument(span))
}

pub(super) fn daemon<'env, E, F>(shared: &Shared<'env, E>, label: Label, future: F)
where
    E: Send + 'env,
    F: Future<Output = ()> + Send + 'env,
{
    // A refused one is dropped here.
    let _ = admit(shared, label, Work::daemon(future), true);
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
    let outcome = Outcome::pending(label.clone());
    let Some(shared) = shared else { return refuse(None, outcome, NO_GROUP, future) };
    let mut core = shared.lock();
    if let Some(interrupted) = Shared::refusal(&core) {
        drop(core);
        return refuse(Some(shared), outcome, interrupted, future);
    }
    let (place, at_once) = core.children.reserve(label.clone());
    drop(core);
    outcome.set_place(place);
    // Outside the lock: a runtime that shuts down drops the future on the spot.
    let report = Report::new(&shared.signals, place.key());
    let work = Work::parallel(future, outcome.clone(), shared.settings.on_error, runtime, report, at_once);
    let mut core = shared.lock();
    let late = core.children.fill(place, work).err();
    shared.release(core);
    if let Some(work) = late {
        shared.end_late(place, label, work);
    }
    Task::new(outcome, Some(shared))
}
