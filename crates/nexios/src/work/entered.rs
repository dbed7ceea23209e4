//! Whose code runs here, for as long as it runs; and how long a poll of it took.

use std::{sync::Arc, time::Duration};

use super::{
    current::{self, Place},
    handle::Handle,
    outcome::Update,
    slow_poll::Stopwatch,
};

/// What is made until this is dropped is part of the work that was entered. After a slow poll the work says so.
#[must_use = "it leaves when it is dropped"]
pub(crate) struct Entered {
    place: Option<Place>,
    poll: Option<(Stopwatch, Polled)>,
}

/// Who says that its poll was slow.
enum Polled {
    Own(Handle),
    Shared(Arc<dyn SlowPolls>),
}

/// Work of which others have something to say as well.
pub(super) trait SlowPolls: Send + Sync {
    fn slow_poll(&self, took: Duration);
}

impl Entered {
    /// Enters work of one owner that is polled.
    pub(super) fn poll(work: &Handle) -> Self {
        Self::timed(work, Polled::Own(work.clone()))
    }

    /// Enters work that is shared and polled.
    pub(super) fn poll_shared(work: &Handle, shared: Arc<dyn SlowPolls>) -> Self {
        Self::timed(work, Polled::Shared(shared))
    }

    /// Enters work whose code may take as long as it likes: it runs on a thread of its own, or waits for nothing.
    pub(super) fn blocking(work: &Handle) -> Self {
        Self {
            place: Some(current::enter(work)),
            poll: None,
        }
    }

    fn timed(work: &Handle, polled: Polled) -> Self {
        Self {
            place: Some(current::enter(work)),
            poll: Some((Stopwatch::begin(), polled)),
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // First: what an observer makes as it is told is no part of the work.
        drop(self.place.take());
        let Some((stopwatch, polled)) = self.poll.take() else {
            return;
        };
        if let Some(took) = stopwatch.end() {
            match polled {
                Polled::Own(work) => work.update(&Update::SlowPoll(took)),
                Polled::Shared(work) => work.slow_poll(took),
            }
        }
    }
}
