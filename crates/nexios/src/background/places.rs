//! Where live tasks are kept: a list with gaps that are filled again, so that coming and going costs no search
//! and no allocation.

use std::sync::Arc;

use super::record::Record;

#[derive(Default)]
pub(super) struct Places {
    /// The numbers stand beside the records, so that looking for one reads nothing else.
    entries: Vec<(u64, Option<Arc<Record>>)>,
    /// The gaps in `entries`.
    free: Vec<usize>,
}

impl Places {
    /// How many places are taken.
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// The place that the next record will have.
    pub(super) fn next(&self) -> usize {
        self.free.last().copied().unwrap_or(self.entries.len())
    }

    /// Keeps a record, which must know that its place is `next`.
    pub(super) fn put(&mut self, record: Arc<Record>) {
        let entry = (record.id.0, Some(record));
        match self.free.pop() {
            Some(place) => self.entries[place] = entry,
            None => self.entries.push(entry),
        }
    }

    /// Frees the place of a record that is there.
    pub(super) fn take(&mut self, record: &Record) -> Option<Arc<Record>> {
        let taken = self.entries.get_mut(record.place)?.1.take();
        if taken.is_some() {
            self.free.push(record.place);
        }
        taken
    }

    /// The live record with this number.
    pub(super) fn find(&self, id: u64) -> Option<&Arc<Record>> {
        self.entries.iter().filter(|(number, _)| *number == id).find_map(|(_, record)| record.as_ref())
    }

    /// The records in `count` places from `first` on, or none if there are no such places.
    pub(super) fn some(&self, first: usize, count: usize) -> Option<impl Iterator<Item = &Arc<Record>>> {
        let last = self.entries.len().min(first.saturating_add(count));
        let places = self.entries.get(first..last).filter(|places| !places.is_empty())?;
        Some(places.iter().filter_map(|(_, record)| record.as_ref()))
    }
}
