//! The finished tasks that are still shown, and the records of those that are not, to be used again.

use std::{collections::VecDeque, sync::Arc};

use super::record::{Leavings, Record, Start};

/// Most records that wait to be used again.
const SPARE: usize = 128;

pub(super) struct History {
    /// Most finished tasks that are shown.
    limit: usize,
    /// Finished tasks, oldest first, each with its number.
    shown: VecDeque<(u64, Arc<Record>)>,
    /// How many tasks were ever forgotten: the place of the first of `shown` among all that ended.
    forgotten: u64,
    /// Records of forgotten tasks; somebody may still hold some of them.
    spare: Vec<Arc<Record>>,
}

impl History {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, shown: VecDeque::new(), forgotten: 0, spare: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.shown.len()
    }

    /// Shows a task that has ended, and forgets the oldest if there are too many; what is returned is to be
    /// dropped outside the lock.
    pub(super) fn add(&mut self, record: Arc<Record>) -> Option<Arc<Record>> {
        let mut oldest = None;
        if self.limit == 0 {
            oldest = Some(record);
        } else {
            if self.shown.len() >= self.limit {
                oldest = self.shown.pop_front().map(|(_, record)| record);
            }
            self.shown.push_back((record.id.0, record));
        }
        let oldest = oldest?;
        self.forgotten += 1;
        if self.spare.len() < SPARE {
            self.spare.push(oldest);
            return None;
        }
        Some(oldest)
    }

    /// Makes a record, if possible of one that was forgotten; what is over is to be dropped outside the lock.
    pub(super) fn record(&mut self, start: Start) -> (Arc<Record>, Leavings) {
        let Some(mut spare) = self.spare.pop() else {
            return (Arc::new(Record::new(start)), Leavings::Nothing);
        };
        if let Some(record) = Arc::get_mut(&mut spare) {
            let leavings = record.renew(start);
            return (spare, leavings);
        }
        (Arc::new(Record::new(start)), Leavings::Shared { _record: spare })
    }

    /// A finished task that is still shown.
    pub(super) fn find(&self, id: u64) -> Option<&Arc<Record>> {
        self.shown.iter().rev().find(|(number, _)| *number == id).map(|(_, record)| record)
    }

    /// How many tasks have ended that were counted here.
    pub(super) fn ended(&self) -> u64 {
        self.forgotten + self.shown.len() as u64
    }

    /// Up to `count` of the first `ended` tasks that have ended, newest first, as far as they are still shown.
    pub(super) fn some(&self, ended: u64, count: usize) -> impl Iterator<Item = &Arc<Record>> {
        let end = usize::try_from(ended.saturating_sub(self.forgotten)).unwrap_or(usize::MAX);
        let end = end.min(self.shown.len());
        self.shown.range(end.saturating_sub(count)..end).rev().map(|(_, record)| record)
    }
}
