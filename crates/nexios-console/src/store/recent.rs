//! Background tasks that have lately ended.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use nexios::observe::WorkId;

use super::{live::Live, memory::Memory, moment::Moment, span::End};
use crate::model::State;

/// Of those that went well, and as many of the others, which no crowd of good ones pushes out.
const KEPT: usize = 50;

#[derive(Debug, Clone)]
pub(super) struct Finished {
    pub(super) id: WorkId,
    pub(super) live: Live,
    pub(super) end: End,
    pub(super) ended: Moment,
}

impl Finished {
    fn bytes(&self) -> usize {
        let error = self.end.error.as_ref().map_or(0, |text| text.len());
        self.live.bytes() + error + size_of::<Self>() - size_of::<Live>()
    }
}

#[derive(Debug)]
pub(super) struct Recent {
    /// Those that went well, and the others; newest last.
    tasks: Mutex<[VecDeque<Finished>; 2]>,
    memory: Arc<Memory>,
}

impl Recent {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self {
            tasks: Mutex::default(),
            memory,
        }
    }

    pub(super) fn push(&self, task: Finished) {
        self.memory.take(task.bytes());
        let well = task.end.state == State::Completed;
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let tasks_alike = &mut tasks[usize::from(!well)];
        tasks_alike.push_back(task);
        let old = if tasks_alike.len() > KEPT {
            tasks_alike.pop_front()
        } else {
            None
        };
        drop(tasks);
        if let Some(old) = old {
            self.memory.give_back(old.bytes());
        }
    }

    /// Newest first.
    pub(super) fn all(&self) -> Vec<Finished> {
        let tasks = self
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut all: Vec<_> = tasks.into_iter().flatten().collect();
        all.sort_by_key(|task| std::cmp::Reverse((task.ended, task.id)));
        all
    }
}
