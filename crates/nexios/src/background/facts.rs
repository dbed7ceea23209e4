//! What there is to be seen of one task, while it runs and after its end.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use crate::cancel::CancelReason;

use super::{
    info::{TaskId, TaskInfo, TaskState},
    wall_clock::TimeOfDay,
};

/// Longest message or error text kept, in bytes; the rest is cut off.
const LONGEST_TEXT: usize = 4_096;

/// What is known of a task. Copies share what it has told.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// When it got its slot, on tokio's clock; none while it waits.
    pub(super) began: Option<Instant>,
    /// For how long it ran; none until it has ended.
    ran: Option<Duration>,
    /// Apart, as most tasks are short and say nothing, and a thousand of them are remembered.
    told: Option<Arc<Told>>,
}

/// What a task has said of itself, or its driver of it.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// Units of work done.
    pub(super) done: u64,
    /// Units of work in all.
    pub(super) total: u64,
    /// The current attempt, from 1.
    pub(super) attempt: u32,
    /// The last message.
    pub(super) message: Option<String>,
    /// The text of the last error or panic.
    pub(super) error: Option<String>,
    /// When the next run of a schedule begins.
    pub(super) next_run: Option<SystemTime>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            done: 0,
            total: 0,
            attempt: 1,
            message: None,
            error: None,
            next_run: None,
        }
    }
}

impl Facts {
    /// Those of a task that has told nothing yet.
    pub(super) fn new(began: Option<Instant>) -> Self {
        Self {
            began,
            ran: None,
            told: None,
        }
    }

    /// To be changed; a copy that somebody looks at stays as it is.
    pub(super) fn told(&mut self) -> &mut Told {
        Arc::make_mut(self.told.get_or_insert_default())
    }

    /// Stops the clock.
    pub(super) fn end(&mut self, now: Instant) {
        self.ran = Some(self.running(now));
    }

    fn running(&self, now: Instant) -> Duration {
        self.began
            .map_or(Duration::ZERO, |began| now.saturating_duration_since(began))
    }

    /// A copy for people to look at; `asked` is why the task was asked to end.
    pub(super) fn info(
        self,
        id: TaskId,
        name: Cow<'static, str>,
        state: TaskState,
        asked: Option<CancelReason>,
        day: &TimeOfDay,
    ) -> TaskInfo {
        let started = self.began.map(|began| day.at(began));
        let elapsed = self.ran.unwrap_or_else(|| self.running(Instant::now()));
        let Told {
            done,
            total,
            attempt,
            message,
            error,
            next_run,
        } = self.told.map(Arc::unwrap_or_clone).unwrap_or_default();
        TaskInfo {
            id,
            name,
            state,
            cancelling: asked.filter(|_| !state.is_final()),
            done,
            total,
            message,
            attempt,
            started,
            elapsed,
            error,
            next_run: next_run.filter(|_| !state.is_final()),
        }
    }
}

/// A task that has ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) id: TaskId,
    pub(super) name: Cow<'static, str>,
    pub(super) state: TaskState,
    pub(super) facts: Facts,
}

impl Ended {
    /// A copy for people to look at.
    pub(super) fn info(self, day: &TimeOfDay) -> TaskInfo {
        self.facts.info(self.id, self.name, self.state, None, day)
    }
}

/// A text of a task, as much of it as is kept.
pub(super) fn shortened(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        let longest = LONGEST_TEXT - '…'.len_utf8();
        let cut = (0..=longest)
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    // What was cut off, or only reserved, is kept in memory otherwise.
    text.shrink_to_fit();
    text
}
