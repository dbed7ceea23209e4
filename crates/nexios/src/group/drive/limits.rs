//! Looking at what ends a group from outside: its time limit and the token of its scope.

use std::task::Poll;

use super::{
    super::{body::Body, clock::Time, state::Phase, verdict::Cause},
    Driver,
};
use crate::{CancelReason, Interrupted};

impl<E: From<Interrupted>> Driver<'_, '_, E> {
    pub(super) fn look_at_parent(&self) {
        let watch = {
            let mut core = self.shared.lock();
            if !core.clock.parent_woken || core.phase != Phase::Open {
                return;
            }
            core.clock.take_watch(&self.shared.signals)
        };
        let Some(mut watch) = watch else { return };
        match watch.poll() {
            Poll::Pending => self.shared.lock().clock.put_watch(watch),
            Poll::Ready(reason) => self.shared.close(Cause::Parent(reason)),
        }
    }

    pub(super) fn look_at_timer(&mut self, body: &mut dyn Body<E>) {
        let timer = {
            let mut core = self.shared.lock();
            if !core.clock.timer_woken {
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
                if cause.interrupts_body() {
                    self.cut_body(body);
                }
                self.shared.close(cause);
            }
            Phase::Closing => self.shared.end_grace(core),
            Phase::Closed => {}
        }
    }
}
