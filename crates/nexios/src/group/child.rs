//! A child is one cell: what it does, and what it leaves to its handle.
//!
//! # Invariants
//!
//! 1. A cell owns the child's work. Whoever ends the child takes the work out and drops it; while the child is being
//!    polled, the poller does.
//! 2. A cell ends once: with the child's result, or with the reason for which the child was ended.
//! 3. No code of others runs under a cell's lock: work, results and wakers are taken out first.
//! 4. A cell whose handle is gone holds nothing for it: a result is dropped where it is made, outside of all locks, or goes
//!    with the handle.
//! 5. A child has ended when it has been dropped, or its task has ended, and who has seen it ended does not see it alive again.

use std::{
    mem,
    sync::PoisonError,
    task::{Context, Poll, Waker},
};

use futures_util::FutureExt;
use tokio::task::JoinError;

use super::{child_work::ChildWork, label::ChildLabel, panics::drop_quietly, unwinding::Aborted};
use crate::{
    cancel::Interrupted,
    panics::{Payload, caught},
    punctual::punctual,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU8, Ordering},
    },
};

/// A child, shared by its group and its handle.
///
/// Kept small, as the handle is: the usual allocators are quick up to 128 bytes, and with lists up to a kilobyte.
pub(super) struct Child<'env, T, E> {
    pub(super) seat: Seat,
    pub(super) label: ChildLabel,
    /// Its error is the group's.
    fails_group: bool,
    /// The handle's own note: how far it is.
    progress: AtomicU8,
    cell: Mutex<ChildCell<'env, T, E>>,
}

/// Where a child sits in its group, and its id, which no other child in the process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) slot: u32,
    pub(super) id: u64,
}

impl Seat {
    /// Of a child that its group has never had.
    fn outside(id: u64) -> Self {
        Self { slot: u32::MAX, id }
    }
}

struct ChildCell<'env, T, E> {
    stage: WorkPlace<'env, T, E>,
    end: HandleResult<T, E>,
}

/// Where a child's work is.
enum WorkPlace<'env, T, E> {
    /// Here: between two polls, or not polled yet.
    Idle(ChildWork<'env, T, E>),
    /// With whoever polls it, starts its task, or drops it.
    Polled(Meanwhile),
    /// There is none any more.
    Gone,
}

/// What has happened to a child while its work was elsewhere.
#[derive(Clone, Copy, Default)]
pub(super) struct Meanwhile {
    /// It is to end, for this reason.
    pub(super) ended: Option<Interrupted>,
    /// The group came by to poll it.
    pub(super) woken: bool,
}

/// What the handle will find.
enum HandleResult<T, E> {
    /// Nothing yet. The waker is the handle's.
    None(Option<Waker>),
    Result(Result<T, E>),
    Interrupted(Interrupted),
    /// It has found it.
    Taken,
    /// There is no handle any more.
    Unwanted,
}

/// What a child that has ended leaves to its group.
pub(super) enum Left<'env, E> {
    /// Nothing: its handle has what there is.
    Nothing,
    /// An error that nobody will look at.
    Unseen,
    /// An error that is the group's. The handle has not been told.
    Error(E),
    /// The panic of a poll, or of a destructor after it. The handle may not have been told.
    Panic(Payload),
    /// The panic of a destructor, or of the handle's waker, as it was ended.
    PanicAtEnd(Payload),
    /// A task that unwinds.
    Unwinds(Aborted<'env>),
}

/// What a handle finds when it looks.
pub(super) enum Found<T, E> {
    Result(Result<T, E>),
    Interrupted(Interrupted),
}

/// How far a handle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    New,
    /// Its waker is registered with the group, not only in the cell.
    Drives,
    /// It has given its result.
    Taken,
}

/// A child as the group sees it, whatever its type.
pub(super) trait Member<'env, E>: Send + Sync {
    /// Polls it once; `None` while it lives.
    fn poll(&self, cx: &mut Context<'_>) -> Option<Left<'env, E>>;

    /// Ends it and tells its handle why; `None` if it goes when the poll returns that is under way.
    fn end(&self, why: Interrupted) -> Option<Left<'env, E>>;

    /// Tells the handle of a child that has ended without a result for it. Fails if the handle's waker panics.
    fn tell(&self, why: Interrupted) -> Result<(), Payload>;

    fn label(&self) -> &ChildLabel;

    fn is_polled(&self) -> bool;

    /// Whether it has ended, maybe as a task that the group has not looked at.
    fn has_ended(&self) -> bool;
}

impl<'env, T, E> Child<'env, T, E> {
    /// A child whose work is here, or is being made and [comes](Self::bring) later.
    pub(super) fn new(
        seat: Seat,
        label: ChildLabel,
        fails_group: bool,
        work: Option<ChildWork<'env, T, E>>,
    ) -> Self {
        let stage = work.map_or(WorkPlace::Polled(Meanwhile::default()), WorkPlace::Idle);
        Self::with(
            seat,
            label,
            fails_group,
            ChildCell {
                stage,
                end: HandleResult::None(None),
            },
        )
    }

    /// A child that never was.
    pub(super) fn refused(id: u64, label: ChildLabel, why: Interrupted) -> Self {
        let cell = ChildCell {
            stage: WorkPlace::Gone,
            end: HandleResult::Interrupted(why),
        };
        Self::with(Seat::outside(id), label, false, cell)
    }

    fn with(seat: Seat, label: ChildLabel, fails_group: bool, cell: ChildCell<'env, T, E>) -> Self {
        Self {
            seat,
            label,
            fails_group,
            progress: AtomicU8::new(0),
            cell: Mutex::new(cell),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ChildCell<'env, T, E>> {
        // Every change is an assignment, so a poisoned cell is still whole.
        self.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Both are relaxed: only the handle looks, and it moves between threads with everything that was written.

    pub(super) fn progress(&self) -> Progress {
        match self.progress.load(Ordering::Relaxed) {
            0 => Progress::New,
            1 => Progress::Drives,
            _ => Progress::Taken,
        }
    }

    pub(super) fn set_progress(&self, progress: Progress) {
        self.progress.store(progress as u8, Ordering::Relaxed);
    }

    /// The end, without a lock, where nobody else has the cell any more.
    pub(super) fn take_alone(&mut self) -> Option<Found<T, E>> {
        let cell = self.cell.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _replaced = cell.look_at_task(self.fails_group);
        cell.take()
    }

    /// The end, if there is one.
    pub(super) fn take(&self) -> Option<Found<T, E>> {
        let mut cell = self.lock();
        let replaced = cell.look_at_task(self.fails_group);
        let found = cell.take();
        drop(cell);
        drop(replaced);
        found
    }

    /// The end, or leaves the waker to be told of it.
    pub(super) fn take_or_wait(&self, waker: &Waker) -> Option<Found<T, E>> {
        // Cloned and dropped outside the lock: a waker is code of others.
        let fresh = waker.clone();
        let mut cell = self.lock();
        let replaced = cell.look_at_task(self.fails_group);
        let (found, old) = match &mut cell.end {
            HandleResult::None(waiter) => (None, waiter.replace(fresh)),
            _ => (cell.take(), None),
        };
        drop(cell);
        drop((replaced, old));
        found
    }

    pub(super) fn is_finished(&self) -> bool {
        let cell = self.lock();
        // What a task has come to gets here when somebody drives the group.
        !matches!(cell.end, HandleResult::None(_)) || cell.stage.has_ended()
    }

    /// The handle goes away; true if it leaves an error that nobody has looked at.
    pub(super) fn abandon(&self) -> bool {
        let (left, _replaced) = {
            let mut cell = self.lock();
            let replaced = cell.look_at_task(self.fails_group);
            (
                mem::replace(&mut cell.end, HandleResult::Unwanted),
                replaced,
            )
        };
        matches!(left, HandleResult::Result(Err(_)))
    }

    /// Gives the result to the handle, if there is one; says what is left for the group.
    #[inline(always)]
    fn publish(&self, result: Result<T, E>) -> Left<'env, E> {
        let mut cell = self.lock();
        cell.stage = WorkPlace::Gone;
        if let HandleResult::None(waiter) = &mut cell.end {
            let waiter = waiter.take();
            cell.end = HandleResult::Result(result);
            drop(cell);
            return wake(waiter).map_or_else(Left::Panic, |()| Left::Nothing);
        }
        // Nobody waits for it.
        drop(cell);
        let unseen = result.is_err();
        drop_quietly(result);
        if unseen { Left::Unseen } else { Left::Nothing }
    }

    /// The work came to this.
    #[inline(always)]
    fn settle(&self, result: Result<T, E>) -> Left<'env, E> {
        match result {
            Err(error) if self.fails_group => {
                self.lock().stage = WorkPlace::Gone;
                Left::Error(error)
            }
            result => self.publish(result),
        }
    }

    /// Ends the cell without a result.
    fn interrupt(&self, why: Interrupted) -> Result<(), Payload> {
        let mut cell = self.lock();
        cell.stage = WorkPlace::Gone;
        let HandleResult::None(waiter) = &mut cell.end else {
            return Ok(());
        };
        let waiter = waiter.take();
        cell.end = HandleResult::Interrupted(why);
        drop(cell);
        wake(waiter)
    }

    /// Brings the work of a child that was started; says what has happened meanwhile.
    #[inline(always)]
    pub(super) fn bring(&self, work: ChildWork<'env, T, E>) -> Meanwhile {
        match mem::replace(&mut self.lock().stage, WorkPlace::Idle(work)) {
            WorkPlace::Polled(meanwhile) => meanwhile,
            WorkPlace::Idle(_) | WorkPlace::Gone => Meanwhile::default(),
        }
    }

    /// Takes the work out to be polled; without it, what the group is to make of the child.
    fn take_to_poll(&self) -> Result<ChildWork<'env, T, E>, Option<Left<'env, E>>> {
        let mut cell = self.lock();
        if let Some(work) = cell.stage.take_work(Meanwhile::default()) {
            return Ok(work);
        }
        match &mut cell.stage {
            // Its task is being started, or it is being dropped. Who does that will see to it that the group comes again.
            WorkPlace::Polled(meanwhile) => {
                meanwhile.woken = true;
                Err(None)
            }
            // Ended before its turn came; whoever ended it has told the group.
            WorkPlace::Idle(_) | WorkPlace::Gone => Err(Some(Left::Nothing)),
        }
    }

    /// The work is still pending; hands it back if the child was ended during the poll.
    fn put_back(
        &self,
        work: ChildWork<'env, T, E>,
    ) -> Result<(), (ChildWork<'env, T, E>, Interrupted)> {
        let mut cell = self.lock();
        // Then it has not ended before it is dropped.
        if let WorkPlace::Polled(Meanwhile {
            ended: Some(why), ..
        }) = cell.stage
        {
            return Err((work, why));
        }
        cell.stage = WorkPlace::Idle(work);
        Ok(())
    }
}

impl<'env, T: Send + 'env, E: From<Interrupted> + Send + 'env> Child<'env, T, E> {
    /// Ends the work of a child that has been taken out of its cell, then tells its handle.
    fn end_work(&self, work: ChildWork<'env, T, E>, why: Interrupted) -> Left<'env, E> {
        let joined = match work {
            ChildWork::InTask(_) | ChildWork::Waiting(_) => {
                let dropped = caught(|| drop(work));
                let told = self.interrupt(why);
                return dropped
                    .and(told)
                    .map_or_else(Left::PanicAtEnd, |()| Left::Nothing);
            }
            ChildWork::Parallel(mut task) => {
                task.abort();
                // It may have ended before its turn came; then that is what it has come to.
                let Some(joined) = punctual(&mut task).now_or_never() else {
                    // Even if the handle's waker panics, somebody has to wait for the task.
                    drop_quietly(self.interrupt(why));
                    return Left::Unwinds(Aborted::new(self.label.clone(), task));
                };
                joined
            }
            ChildWork::Joined(joined) => *joined,
        };
        match joined.map_err(JoinError::try_into_panic) {
            Ok(result) => self.settle(result),
            Err(Ok(payload)) => Left::Panic(payload),
            Err(Err(_)) => self
                .interrupt(why)
                .map_or_else(Left::PanicAtEnd, |()| Left::Nothing),
        }
    }
}

/// Wakers are code of others.
fn wake(waiter: Option<Waker>) -> Result<(), Payload> {
    match waiter {
        None => Ok(()),
        Some(waiter) => caught(|| waiter.wake()),
    }
}

/// What is no longer in the cell.
type ReplacedWork<'env, T, E> = (WorkPlace<'env, T, E>, Option<HandleResult<T, E>>);

impl<'env, T, E> ChildCell<'env, T, E> {
    /// Takes what a task has come to, if that is its handle's, before the group has looked: the result goes where the
    /// handle goes. Gives back what it replaces, to be dropped outside the lock.
    #[inline(always)]
    fn look_at_task(&mut self, fails_group: bool) -> Option<ReplacedWork<'env, T, E>> {
        let WorkPlace::Idle(ChildWork::Parallel(task)) = &mut self.stage else {
            return None;
        };
        // Asked first, so as to leave the group's waker where it is; then reading the result runs nobody's code.
        let joined = if task.is_finished() {
            punctual(task).now_or_never()?
        } else {
            return None;
        };
        Some(match joined {
            Ok(result) if result.is_ok() || !fails_group => (
                mem::replace(&mut self.stage, WorkPlace::Gone),
                Some(mem::replace(&mut self.end, HandleResult::Result(result))),
            ),
            joined => {
                let joined = WorkPlace::Idle(ChildWork::Joined(Box::new(joined)));
                (mem::replace(&mut self.stage, joined), None)
            }
        })
    }

    fn take(&mut self) -> Option<Found<T, E>> {
        if let HandleResult::None(_) = self.end {
            return None;
        }
        // The handle is the only one who takes, and does it once.
        match mem::replace(&mut self.end, HandleResult::Taken) {
            HandleResult::Result(result) => Some(Found::Result(result)),
            HandleResult::Interrupted(why) => Some(Found::Interrupted(why)),
            HandleResult::None(_) | HandleResult::Taken | HandleResult::Unwanted => None,
        }
    }
}

impl<'env, T, E> WorkPlace<'env, T, E> {
    fn has_ended(&self) -> bool {
        match self {
            Self::Idle(work) => work.has_ended(),
            Self::Polled(_) => false,
            Self::Gone => true,
        }
    }

    /// Takes the work out, if it is here. With a task that has ended the child is gone: all that is left is to read what it
    /// has come to, and who has seen it ended must not see it alive again.
    #[inline(always)]
    fn take_work(&mut self, meanwhile: Meanwhile) -> Option<ChildWork<'env, T, E>> {
        let Self::Idle(_) = self else { return None };
        let elsewhere = if self.has_ended() {
            Self::Gone
        } else {
            Self::Polled(meanwhile)
        };
        match mem::replace(self, elsewhere) {
            Self::Idle(work) => Some(work),
            Self::Polled(_) | Self::Gone => None,
        }
    }
}

impl<'env, T: Send + 'env, E: From<Interrupted> + Send + 'env> Member<'env, E>
    for Child<'env, T, E>
{
    fn poll(&self, cx: &mut Context<'_>) -> Option<Left<'env, E>> {
        let mut work = match self.take_to_poll() {
            Ok(work) => Some(work),
            Err(left) => return left,
        };
        let polled = caught(|| {
            let polled = work.as_mut().map_or(Poll::Pending, |work| work.poll(cx));
            if polled.is_ready() {
                // Before its result is seen; a panic of its destructor is the child's.
                work = None;
            }
            polled
        });
        match polled {
            Ok(Poll::Ready(result)) => Some(self.settle(result)),
            Ok(Poll::Pending) => {
                let (work, why) = self.put_back(work?).err()?;
                Some(self.end_work(work, why))
            }
            Err(payload) => {
                drop_quietly(work);
                self.lock().stage = WorkPlace::Gone;
                Some(Left::Panic(payload))
            }
        }
    }

    fn end(&self, why: Interrupted) -> Option<Left<'env, E>> {
        let mut cell = self.lock();
        if let Some(work) = cell.stage.take_work(Meanwhile {
            ended: Some(why),
            woken: false,
        }) {
            drop(cell);
            return Some(self.end_work(work, why));
        }
        match &mut cell.stage {
            WorkPlace::Polled(meanwhile) => {
                meanwhile.ended.get_or_insert(why);
                None
            }
            WorkPlace::Idle(_) | WorkPlace::Gone => Some(Left::Nothing),
        }
    }

    fn tell(&self, why: Interrupted) -> Result<(), Payload> {
        self.interrupt(why)
    }

    fn label(&self) -> &ChildLabel {
        &self.label
    }

    fn is_polled(&self) -> bool {
        matches!(self.lock().stage, WorkPlace::Polled(_))
    }

    fn has_ended(&self) -> bool {
        self.lock().stage.has_ended()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_with_a_small_result_fits_into_a_small_allocation() {
        assert!(size_of::<Child<'static, u64, Interrupted>>() + 2 * size_of::<usize>() <= 120);
    }
}
