//! How a future becomes a child, whoever spawns it.

use std::{borrow::Cow, future::Future, panic::Location, sync::Arc};

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tracing::Level;

use super::{
    builder::OnError,
    child::Child,
    child_work::ChildWork,
    children::{key_of, take_ids},
    label::ChildLabel,
    observed::{Introduction, Part},
    observed_future::ObservedFuture,
    state::Shared,
    task::Task,
    wakers::EndNotice,
};
use crate::{
    cancel::{CancelReason, Interrupted},
    log::{self, InSpan},
    work::{WorkKind, anybody},
};

/// What a child is called, and how it is announced to whoever observes.
pub(super) struct Label {
    pub(super) label: ChildLabel,
    pub(super) made_at: &'static Location<'static>,
}

impl Label {
    /// Of a child that is called by the place of its spawn.
    #[track_caller]
    pub(super) fn here() -> Self {
        let made_at = Location::caller();
        Self {
            label: ChildLabel::SpawnedAt(made_at),
            made_at,
        }
    }

    fn introduction(&self, id: u64, kind: WorkKind) -> Introduction<'_> {
        Introduction {
            id,
            kind,
            name: self.label.given(),
            made_at: Some(self.made_at),
        }
    }
}

/// Tells whoever observes of a new child; none if nobody does, or the group is not open any more.
#[inline]
fn announce<E>(shared: &Shared<'_, E>, label: &Label, kind: WorkKind) -> Option<Part> {
    if anybody() {
        announced(shared, label, kind)
    } else {
        None
    }
}

#[cold]
fn announced<E>(shared: &Shared<'_, E>, label: &Label, kind: WorkKind) -> Option<Part> {
    let mut core = shared.lock();
    if Shared::refusal(&core).is_some() {
        return None;
    }
    let id = core.children.next_id();
    Some(shared.observe(core).part(&label.introduction(id, kind)))
}

/// Drops what its group has not taken, and tells whoever observes. Returns its id.
fn drop_refused(label: &Label, kind: WorkKind, part: Option<&Part>, refused: impl Sized) -> u64 {
    if let Some(part) = part {
        part.refuse();
        drop(refused);
        return part.id();
    }
    drop(refused);
    let id = take_ids(1).start;
    if anybody() {
        label.introduction(id, kind).refused();
    }
    id
}

/// Makes a handle whose child never was. What was refused is dropped before this returns.
fn refuse<'env, T, E>(
    shared: Option<Arc<Shared<'env, E>>>,
    label: Label,
    kind: WorkKind,
    why: Interrupted,
    part: Option<&Part>,
    dropped: impl Sized,
) -> Task<'env, T, E> {
    let id = drop_refused(&label, kind, part, dropped);
    Task::new(Arc::new(Child::refused(id, label.label, why)), shared)
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
    Result<Admitted<'env, T, E>, (Label, Interrupted, Option<ChildWork<'env, T, E>>)>;

/// Adds a child, or hands everything back. It has an id already if somebody was told of it.
#[inline(always)]
fn admit<'env, T, E>(
    shared: &Shared<'env, E>,
    label: Label,
    work: Option<ChildWork<'env, T, E>>,
    daemon: bool,
    part: Option<&Part>,
) -> ChildAdmission<'env, T, E>
where
    T: Send + 'env,
    E: From<Interrupted> + Send + 'env,
{
    let mut core = shared.lock();
    if let Some(why) = Shared::refusal(&core) {
        return Err((label, why, work));
    }
    let id = part.map_or_else(|| core.children.next_id(), Part::id);
    let seat = core.children.next_seat(id);
    let is_here = work.is_some();
    let child = Arc::new(Child::new(
        seat,
        label.label,
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

/// The handle of a child that its group has taken; tells those who have to come for it.
#[inline(always)]
fn handle_of<'env, T, E>(
    shared: Arc<Shared<'env, E>>,
    admitted: Admitted<'env, T, E>,
) -> Task<'env, T, E> {
    let task = Task::new(admitted.child, Some(shared));
    if admitted.notify {
        task.notify_group();
    }
    task
}

pub(super) fn in_task<'env, T, E, F>(
    shared: Option<Arc<Shared<'env, E>>>,
    label: Label,
    future: F,
) -> Task<'env, T, E>
where
    T: Send + 'env,
    E: From<Interrupted> + Send + 'env,
    F: Future<Output = Result<T, E>> + Send + 'env,
{
    let kind = WorkKind::Child;
    let Some(shared) = shared else {
        return refuse(None, label, kind, NO_GROUP, None, future);
    };
    if let Some(part) = announce(&shared, &label, kind) {
        return in_task_announced(shared, label, future, part);
    }
    let work = ChildWork::InTask(Box::pin(future));
    match admit(&shared, label, Some(work), false, None) {
        Ok(admitted) => handle_of(shared, admitted),
        Err((label, why, work)) => refuse(Some(shared), label, kind, why, None, work),
    }
}

/// A child with an error of its own.
pub(super) fn converted<'env, T, E, E2, F>(
    shared: Option<Arc<Shared<'env, E>>>,
    label: Label,
    future: F,
) -> Task<'env, T, E>
where
    T: Send + 'env,
    E: From<Interrupted> + Send + 'env,
    E2: Into<E>,
    F: Future<Output = Result<T, E2>> + Send + 'env,
{
    let future = future.map(|result| result.map_err(Into::into));
    in_task(shared, label, future)
}

// Apart, and not one with the above: a child that nobody observes pays for no question whether it has a part.
#[cold]
fn in_task_announced<'env, T, E, F>(
    shared: Arc<Shared<'env, E>>,
    label: Label,
    future: F,
    part: Part,
) -> Task<'env, T, E>
where
    T: Send + 'env,
    E: From<Interrupted> + Send + 'env,
    F: Future<Output = Result<T, E>> + Send + 'env,
{
    let future = ObservedFuture::new(future, Some(part.clone()));
    let work = ChildWork::InTask(Box::pin(future));
    match admit(&shared, label, Some(work), false, Some(&part)) {
        Ok(admitted) => handle_of(shared, admitted),
        Err((label, why, work)) => {
            let kind = WorkKind::Child;
            refuse(Some(shared), label, kind, why, Some(&part), work)
        }
    }
}

pub(super) fn named<'env, T, E, F>(
    shared: Option<Arc<Shared<'env, E>>>,
    name: Cow<'static, str>,
    made_at: &'static Location<'static>,
    future: F,
) -> Task<'env, T, E>
where
    T: Send + 'env,
    E: From<Interrupted> + Send + 'env,
    F: Future<Output = Result<T, E>> + Send + 'env,
{
    let span = log::span(Level::DEBUG, || tracing::debug_span!("task", name = %name));
    let label = Label {
        label: name.into(),
        made_at,
    };
    match span {
        Some(span) => in_task(shared, label, InSpan::new(span, future)),
        None => in_task(shared, label, future),
    }
}

/// A named child with an error of its own.
pub(super) fn named_converted<'env, T, E, E2, F>(
    shared: Option<Arc<Shared<'env, E>>>,
    name: Cow<'static, str>,
    made_at: &'static Location<'static>,
    future: F,
) -> Task<'env, T, E>
where
    T: Send + 'env,
    E: From<Interrupted> + Send + 'env,
    E2: Into<E>,
    F: Future<Output = Result<T, E2>> + Send + 'env,
{
    let future = future.map(|result| result.map_err(Into::into));
    named(shared, name, made_at, future)
}

pub(super) fn daemon<'env, E, F>(shared: &Shared<'env, E>, label: Label, future: F)
where
    E: From<Interrupted> + Send + 'env,
    F: Future<Output = ()> + Send + 'env,
{
    let future = async move {
        future.await;
        Ok::<(), E>(())
    };
    let kind = WorkKind::Daemon;
    let part = announce(shared, &label, kind);
    let work = ChildWork::InTask(Box::pin(ObservedFuture::new(future, part.clone())));
    // Nobody has a handle.
    match admit(shared, label, Some(work), true, part.as_ref()) {
        Ok(Admitted { child, notify, .. }) => {
            child.abandon();
            if notify {
                shared.signals.notify();
            }
        }
        Err((label, _, work)) => {
            drop_refused(&label, kind, part.as_ref(), work);
        }
    }
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
    let kind = WorkKind::ParallelChild;
    let Some(shared) = shared else {
        return refuse(None, label, kind, NO_GROUP, None, future);
    };
    if let Some(part) = announce(&shared, &label, kind) {
        return parallel_announced(shared, label, runtime, future, part);
    }
    match admit(&shared, label, None, false, None) {
        Ok(admitted) => start(shared, admitted, runtime, future),
        Err((label, why, _)) => refuse(Some(shared), label, kind, why, None, future),
    }
}

#[cold]
fn parallel_announced<'env, T, E, F>(
    shared: Arc<Shared<'env, E>>,
    label: Label,
    runtime: Handle,
    future: F,
    part: Part,
) -> Task<'env, T, E>
where
    T: Send + 'static,
    E: From<Interrupted> + Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let future = ObservedFuture::new(future, Some(part.clone()));
    match admit(&shared, label, None, false, Some(&part)) {
        Ok(admitted) => start(shared, admitted, runtime, future),
        Err((label, why, _)) => {
            let kind = WorkKind::ParallelChild;
            refuse(Some(shared), label, kind, why, Some(&part), future)
        }
    }
}

/// Starts the task of a child that its group has taken.
#[inline(always)]
fn start<'env, T, E, F>(
    shared: Arc<Shared<'env, E>>,
    Admitted { child, starts, .. }: Admitted<'env, T, E>,
    runtime: Handle,
    future: F,
) -> Task<'env, T, E>
where
    T: Send + 'static,
    E: From<Interrupted> + Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let span = log::current_span();
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
