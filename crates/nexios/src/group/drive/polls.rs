//! One poll of a child or of the body, and what comes of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::task::waker_ref;

use super::{
    super::{
        body::Body,
        children::Turn,
        frames,
        outcome::Ending,
        panics::{drop_quietly, log_panic, log_unseen},
        state::Core,
        verdict::{BODY, Cause, Payload},
        work::{End, Failure},
    },
    Driver,
};
use crate::{CancelReason, Interrupted, sync::MutexGuard};

impl<'a, 'env, E: From<Interrupted>> Driver<'a, 'env, E> {
    pub(super) fn poll_child(
        &mut self,
        mut turn: Turn<'env, E>,
        body: &mut dyn Body<E>,
    ) -> MutexGuard<'a, Core<'env, E>> {
        self.polled = true;
        frames::begin_poll(true);
        let waker = self.seats.waker(turn.key, &self.shared.signals);
        waker.arm();
        let polled =
            catch_unwind(AssertUnwindSafe(|| turn.work.poll(&mut Context::from_waker(&waker_ref(waker)))));
        match polled {
            Ok(Poll::Ready(End::Published)) => {
                let Turn { key, work } = turn;
                drop(work);
                let mut core = self.shared.lock();
                core.children.free(key.slot);
                self.end_poll(core)
            }
            Ok(Poll::Pending) => self.keep(turn),
            Ok(Poll::Ready(End::Unseen)) => self.finish(turn, None, body),
            Ok(Poll::Ready(End::Failed(failure))) => self.finish(turn, Some(*failure), body),
            Ok(Poll::Ready(End::Panicked(payload))) => self.finish_panicked(turn, *payload, body),
            Err(payload) => self.finish_panicked(turn, payload, body),
        }
    }

    fn end_poll(&self, mut core: MutexGuard<'a, Core<'env, E>>) -> MutexGuard<'a, Core<'env, E>> {
        self.shared.end_poll(&mut core);
        core
    }

    fn keep(&self, turn: Turn<'env, E>) -> MutexGuard<'a, Core<'env, E>> {
        let notes = frames::take_notes();
        let mut core = self.shared.lock();
        let Some(doomed) = core.children.end_poll(turn, notes.told) else {
            return self.end_poll(core);
        };
        let interrupted =
            core.verdict.cause.map_or(Interrupted::Cancelled(CancelReason::Requested), Cause::interrupted);
        drop(core);
        self.shared.end(doomed, interrupted);
        self.end_poll(self.shared.lock())
    }

    /// A child left an error, for the group or one that nobody will look at.
    fn finish(
        &mut self,
        turn: Turn<'env, E>,
        failure: Option<Failure<'env, E>>,
        body: &mut dyn Body<E>,
    ) -> MutexGuard<'a, Core<'env, E>> {
        let Turn { key, work } = turn;
        let notes = frames::take_notes();
        let ending = work.ending();
        drop(work);
        let (finished, closing) = {
            let mut core = self.shared.lock();
            (core.children.finish(key.slot, notes.told), core.verdict.cause.is_some())
        };
        match (finished, failure) {
            (Some(finished), Some(Failure { error, teller })) => {
                if closing && finished.told {
                    // It only repeats what the group told it.
                    drop_quietly(error);
                } else {
                    if !closing {
                        self.cut_body(body);
                    }
                    self.shared.fail(finished.id, error);
                }
                self.tell(ending, teller);
            }
            (Some(finished), None) => log_unseen(&finished.label),
            (None, _) => {}
        }
        self.end_poll(self.shared.lock())
    }

    fn finish_panicked(
        &mut self,
        turn: Turn<'env, E>,
        payload: Payload,
        body: &mut dyn Body<E>,
    ) -> MutexGuard<'a, Core<'env, E>> {
        let Turn { key, work } = turn;
        let ending = work.ending();
        let finished = self.shared.lock().children.finish(key.slot, false);
        if let Some(finished) = finished {
            log_panic("a child of a task group panicked", &finished.label, &payload);
        }
        self.cut_body(body);
        self.shared.panicked(payload);
        // What a panicked child has left is dropped last: that tells its handle.
        self.tell(ending, work);
        self.end_poll(self.shared.lock())
    }

    /// Tells the handle of a child that has no result of its own, after the verdict is known.
    fn tell(&self, ending: Option<Arc<dyn Ending + 'env>>, teller: impl Sized) {
        let interrupted = self.shared.lock().verdict.cause.unwrap_or(Cause::Failed).interrupted();
        let _entered = frames::enter_drop(interrupted);
        drop_quietly(teller);
        if let Some(ending) = ending {
            ending.interrupt(interrupted);
        }
    }

    pub(super) fn poll_body(&mut self, body: &mut dyn Body<E>) -> MutexGuard<'a, Core<'env, E>> {
        self.polled = true;
        self.begins = false;
        frames::begin_poll(false);
        let shared = self.shared;
        let polled = catch_unwind(AssertUnwindSafe(|| body.poll()));
        match polled {
            Ok(Poll::Pending) | Ok(Poll::Ready(Ok(()))) => {}
            Ok(Poll::Ready(Err(error))) => shared.fail(BODY, error),
            Err(payload) => {
                self.cut_body(body);
                shared.panicked(payload);
            }
        }
        let mut core = shared.lock();
        let Core { children, woken, .. } = &mut *core;
        // Whom it has woken itself comes before it too.
        frames::take_woken(&mut children.wakers.ready, woken);
        children.end_body_poll();
        core
    }

    pub(super) fn cut_body(&mut self, body: &mut dyn Body<E>) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| body.cut())) {
            self.shared.panicked(payload);
        }
    }
}
