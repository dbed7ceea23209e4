//! How a future becomes a child, whoever spawns it.

use std::{borrow::Cow, future::Future, sync::Arc};

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tracing::Level;

use super::{
    builder::OnError,
    child::{Child, ChildWork},
    children::{key_of, take_ids},
    label::ChildLabel,
    state::Shared,
    task::Task,
    wakers::EndNotice,
};
use crate::{
    cancel::{CancelReason, Interrupted},
    log::{self, InSpan},
};

/// Makes a handle whose child never was. What was refused is dropped before this returns.
fn refuse<'env, T, E>(
    shared: Option<Arc<Shared<'env, E>>>,
    label: ChildLabel,
    why: Interrupted,
    refused: impl Sized,
) -> Task<'env, T, E> {
    drop(refused);
    Task::new(
        Arc::new(Child::refused(take_ids(1).start, label, why)),
        shared,
    )
}

/// Why a child of a group that is gone is refused.
const NO_GROUP: Interrupted = Interrupted::Cancelled(CancelReason::OwnerDropped);

/// A child that its group has taken.
struct Admitted<'env, T, E> {
    child: Arc<Child<'env, T, E>>,
    /// It has its place.
    starts: bool,
    /// Those who wait have to be told, once there is a handle: a waker that panics must leave no child without one.
    notify: bool,
}

/// A child, or what was refused.
type ChildAdmission<'env, T, E> =
    Result<Admitted<'env, T, E>, (ChildLabel, Interrupted, Option<ChildWork<'env, T, E>>)>;

/// Adds a child, or hands everything back.
#[inline(always)]
fn admit<'env, T, E>(
    shared: &Shared<'env, E>,
    label: ChildLabel,
    work: Option<ChildWork<'env, T, E>>,
    daemon: bool,
) -> ChildAdmission<'env, T, E>
where
    T: Send + 'env,
    E: From<Interrupted> + Send + 'env,
{
    let mut core = shared.lock();
    if let Some(why) = Shared::refusal(&core) {
        return Err((label, why, work));
    }
    let seat = core.children.next_seat();
    let is_here = work.is_some();
    let child = Arc::new(Child::new(
        seat,
        label,
        shared.settings.on_error == OnError::Cancel,
        work,
    ));
    let starts = core.children.add(seat, child.clone(), daemon);
    // A task is polled when it reports its end, one that waits when it gets its place: nobody has to come for those.
    let is_ready = starts && is_here;
    if is_ready {
        core.children.wakers.ready.children.push_back(key_of(seat));
    }
    let notify = is_ready && Shared::takes_a_notice(&mut core);
    Ok(Admitted {
        child,
        starts,
        notify,
    })
}

pub(super) fn in_task<'env, T, E, F>(
    shared: Option<Arc<Shared<'env, E>>>,
    label: ChildLabel,
    future: F,
) -> Task<'env, T, E>
where
    T: Send + 'env,
    E: From<Interrupted> + Send + 'env,
    F: Future<Output = Result<T, E>> + Send + 'env,
{
    let Some(shared) = shared else {
        return refuse(None, label, NO_GROUP, future);
    };
    match admit(
        &shared,
        label,
        Some(ChildWork::InTask(Box::pin(future))),
        false,
    ) {
        Ok(Admitted { child, notify, .. }) => {
            let task = Task::new(child, Some(shared));
            if notify {
                task.notify_group();
            }
            task
        }
        Err((label, why, work)) => refuse(Some(shared), label, why, work),
    }
}

pub(super) fn named<'env, T, E, F>(
    shared: Option<Arc<Shared<'env, E>>>,
    name: Cow<'static, str>,
    future: F,
) -> Task<'env, T, E>
where
    T: Send + 'env,
    E: From<Interrupted> + Send + 'env,
    F: Future<Output = Result<T, E>> + Send + 'env,
{
    match log::span(Level::DEBUG, || tracing::debug_span!("task", name = %name)) {
        Some(span) => in_task(shared, name.into(), InSpan::new(span, future)),
        None => in_task(shared, name.into(), future),
    }
}

pub(super) fn daemon<'env, E, F>(shared: &Shared<'env, E>, label: ChildLabel, future: F)
where
    E: From<Interrupted> + Send + 'env,
    F: Future<Output = ()> + Send + 'env,
{
    let work = ChildWork::InTask(Box::pin(async move {
        future.await;
        Ok::<(), E>(())
    }));
    // A refused one is dropped here. Nobody has a handle.
    if let Ok(Admitted { child, notify, .. }) = admit(shared, label, Some(work), true) {
        child.abandon();
        if notify {
            shared.signals.notify();
        }
    }
}

#[track_caller]
pub(super) fn parallel<'env, T, E, F>(
    shared: Option<Arc<Shared<'env, E>>>,
    label: ChildLabel,
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
    let Some(shared) = shared else {
        return refuse(None, label, NO_GROUP, future);
    };
    let span = log::current_span();
    let Admitted { child, starts, .. } = match admit(&shared, label, None, false) {
        Ok(admitted) => admitted,
        Err((label, why, _)) => return refuse(Some(shared), label, why, future),
    };
    // Outside the lock: a runtime that shuts down drops the future on the spot.
    let report = EndNotice::new(&shared.signals, key_of(child.seat));
    let handle = Task::new(child, Some(shared));
    // Mostly there is none, and it would make the task a good deal larger.
    let work = match span {
        None => task(future, report, runtime, starts),
        Some(span) => task(InSpan::new(span, future), report, runtime, starts),
    };
    handle.bring(work);
    handle
}

/// Starts a task now, or at its first poll. As it goes it reports to the group, which polls it when it has ended and
/// not before.
fn task<T, E, F>(
    future: F,
    report: EndNotice,
    runtime: Handle,
    now: bool,
) -> ChildWork<'static, T, E>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let reporting = future.map(move |result| {
        drop(report);
        result
    });
    if now {
        ChildWork::Parallel(runtime.spawn(reporting))
    } else {
        ChildWork::Waiting(Some(Box::new(move || runtime.spawn(reporting))))
    }
}
