//! The two things that end a group from outside: its time limit and the token of its scope.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{future::BoxFuture, task::waker_ref};
use tokio::time::{Instant, Sleep};

use super::{
    wake::{Key, Signals},
    wakers::ChildWaker,
};
use crate::{
    cancel::{CancelReason, CancelToken},
    panics::caught,
    punctual::poll_punctual,
};

/// When the group is due, and who may cancel it. A group without either pays nothing for it.
pub(super) struct Clock {
    timeout: Option<Duration>,
    /// The next instant at which something happens: the deadline, or the end of the grace period.
    due: Option<Instant>,
    timer: Option<Timer>,
    parent: Option<CancelToken>,
    watch: Option<Watch>,
}

/// A sleep with a waker of its own.
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    waker: Arc<ChildWaker>,
}

/// A wait for the parent's token with a waker of its own.
pub(super) struct Watch {
    cancelled: BoxFuture<'static, CancelReason>,
    waker: Arc<ChildWaker>,
}

impl Clock {
    pub(super) fn new(
        timeout: Option<Duration>,
        deadline: Option<Instant>,
        parent: Option<CancelToken>,
    ) -> Self {
        Self {
            timeout,
            due: deadline,
            timer: None,
            parent,
            watch: None,
        }
    }

    /// Whether there is a time limit.
    pub(super) fn has_limit(&self) -> bool {
        self.due.is_some() || self.timeout.is_some()
    }

    /// Whether somebody outside may cancel the group.
    pub(super) fn has_parent(&self) -> bool {
        self.parent.is_some()
    }

    /// The first poll of the group: the time limit begins.
    pub(super) fn start(&mut self) {
        if let Some(timeout) = self.timeout.take() {
            // A limit too far to be represented is no limit.
            let limit = Instant::now().checked_add(timeout);
            self.due = match (self.due, limit) {
                (Some(inherited), Some(own)) => Some(inherited.min(own)),
                (inherited, own) => inherited.or(own),
            };
        }
    }

    /// The deadline, or the end of the grace period.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn set_due(&mut self, due: Option<Instant>) {
        self.due = due;
    }

    /// Takes the timer out to be polled outside the lock; none if there is nothing to wait for.
    pub(super) fn take_timer(&mut self, signals: &Arc<Signals>) -> Option<Timer> {
        let due = self.due?;
        let mut timer = self.timer.take().unwrap_or_else(|| Timer {
            sleep: Box::pin(tokio::time::sleep_until(due)),
            waker: ChildWaker::new(signals, Key::TIMER),
        });
        if timer.sleep.deadline() != due {
            timer.sleep.as_mut().reset(due);
        }
        Some(timer)
    }

    pub(super) fn put_timer(&mut self, timer: Timer) {
        self.timer = Some(timer);
    }

    /// Takes the watch on the parent out to be polled outside the lock.
    pub(super) fn take_watch(&mut self, signals: &Arc<Signals>) -> Option<Watch> {
        if let Some(watch) = self.watch.take() {
            return Some(watch);
        }
        let parent = self.parent.take()?;
        let cancelled = Box::pin(async move { parent.cancelled().await });
        Some(Watch {
            cancelled,
            waker: ChildWaker::new(signals, Key::PARENT),
        })
    }

    pub(super) fn put_watch(&mut self, watch: Watch) {
        self.watch = Some(watch);
    }
}

/// What a look at the timer finds.
pub(super) enum Time {
    Left,
    Up,
    /// The runtime whose clock it was is gone.
    Lost,
}

impl Timer {
    pub(super) fn poll(&mut self) -> Time {
        self.waker.arm();
        let waker = waker_ref(&self.waker);
        // A sleep has no other way to say that its runtime is gone.
        match caught(|| poll_punctual(self.sleep.as_mut(), &mut Context::from_waker(&waker))) {
            Ok(Poll::Pending) => Time::Left,
            Ok(Poll::Ready(())) => Time::Up,
            Err(_) => Time::Lost,
        }
    }
}

impl Watch {
    pub(super) fn poll(&mut self) -> Poll<CancelReason> {
        self.waker.arm();
        poll_punctual(
            self.cancelled.as_mut(),
            &mut Context::from_waker(&waker_ref(&self.waker)),
        )
    }
}
