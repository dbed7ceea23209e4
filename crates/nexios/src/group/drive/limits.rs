//! Looking at what ends a group from outside: its time limit and the token of its scope.

use std::task::Poll;

use super::{
    super::{body::Body, clock::Time, state::Phase, verdict::Cause},
    Driver,
};
use crate::{CancelReason, Interrupted};

impl<E: From<Interrupted>> Driver<'_, '_, E> {
    pub(super) fn look_at_parent(&mut self, body: &mut dyn Body<E>) {
        let watch = {
            let mut core = self.shared.lock();
            if !std::mem::take(&mut core.woken.parent) || core.phase != Phase::Open {
                return;
            }
            core.clock.take_watch(&self.shared.signals)
        };
        let Some(mut watch) = watch else { return };
        match watch.poll() {
            Poll::Pending => self.shared.lock().clock.put_watch(watch),
            Poll::Ready(reason) => self.end(Cause::Parent(reason), body),
        }
    }

    /// Ends the group from outside: the body is dropped at its await, before the children.
    fn end(&mut self, cause: Cause, body: &mut dyn Body<E>) {
        self.cut_body(body);
        self.shared.close(cause);
    }

    pub(super) fn look_at_timer(&mut self, body: &mut dyn Body<E>) {
        let timer = {
            let mut core = self.shared.lock();
            if !std::mem::take(&mut core.woken.timer) {
                return;
            }
            core.clock.take_timer(&self.shared.signals)
        };
        let Some(mut timer) = timer else { return };
        let time = timer.poll();
        let mut core = self.shared.lock();
        core.clock.put_timer(timer);
        let cause = match time {
            Time::Left => return,
            Time::Up => Cause::Deadline,
            Time::Lost => Cause::Parent(CancelReason::Shutdown),
        };
        match core.phase {
            Phase::Open => {
                drop(core);
                self.end(cause, body);
            }
            Phase::Closing => self.shared.end_grace(core),
            Phase::Closed => {}
        }
    }
}
