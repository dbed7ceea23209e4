use std::{
    collections::VecDeque,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

use super::change::Change;

/// Bytes of them, about: a whole list may have a hundred thousand, and comes four times a second where much goes on.
const ROOM: usize = 4 << 20;

/// Events that are kept for those who have not heard them.
const MOST: usize = 512;

/// An event, and whose it is.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: u64,
    pub(super) channel: Arc<str>,
    pub(super) change: Arc<Change>,
    pub(super) at: Instant,
}

/// The last events. Numbers only grow, and over the life of the process too: they begin at the time of its start.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    /// What they take.
    bytes: usize,
    /// The number before the first event of this process.
    base: u64,
    /// The number of the last event.
    last: u64,
}

/// What a client that comes back has missed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// What comes after the number that it knows.
    Kept,
    /// It knows another process.
    Restarted,
    TooOld,
}

impl Ring {
    pub(super) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let base = now.map_or(0, |now| now.as_millis() as u64);
        Self {
            entries: VecDeque::with_capacity(MOST),
            bytes: 0,
            base,
            last: base,
        }
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn push(&mut self, channel: Arc<str>, change: Change, at: Instant) {
        self.last += 1;
        self.bytes += change.data.len();
        while self.entries.len() == MOST || self.bytes > ROOM {
            // The new one alone may be more than there is room for, and is told all the same.
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= oldest.change.data.len();
        }
        self.entries.push_back(Entry {
            id: self.last,
            channel,
            change: Arc::new(change),
            at,
        });
    }

    pub(super) fn missed(&self, heard: u64) -> Missed {
        if heard < self.base || heard > self.last {
            return Missed::Restarted;
        }
        if self.has_all_after(heard) {
            Missed::Kept
        } else {
            Missed::TooOld
        }
    }

    pub(super) fn has_all_after(&self, heard: u64) -> bool {
        heard + self.entries.len() as u64 >= self.last
    }

    /// The first event after this number in one of these channels.
    pub(super) fn next(&self, heard: u64, channels: &[Arc<str>]) -> Option<&Entry> {
        // Numbers have no gaps, so the place is known.
        let oldest = self.last - self.entries.len() as u64;
        let skipped = heard.saturating_sub(oldest) as usize;
        self.entries
            .range(skipped.min(self.entries.len())..)
            .find(|entry| channels.contains(&entry.channel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(events: usize) -> Ring {
        let mut ring = Ring::new();
        for event in 0..events {
            let channel = if event % 2 == 0 { "even" } else { "odd" };
            ring.push(
                channel.into(),
                Change::bye(&event.to_string()),
                Instant::now(),
            );
        }
        ring
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_goes_on_after_what_it_has_heard_in_its_channels() {
        let ring = ring(10);
        let first = ring.last() - 10;
        assert_eq!(ring.missed(first), Missed::Kept);
        let next = ring.next(first, &["odd".into()]).map(|entry| entry.id);
        assert_eq!(next, Some(first + 2));
        assert!(ring.next(ring.last(), &["odd".into()]).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_left_the_ring_is_too_old() {
        let ring = ring(MOST + 3);
        let first = ring.last() - MOST as u64;
        assert_eq!(ring.missed(first), Missed::Kept);
        assert_eq!(ring.missed(first - 1), Missed::TooOld);
    }

    #[tokio::test(start_paused = true)]
    async fn whole_lists_are_kept_as_far_as_there_is_room() {
        let mut ring = Ring::new();
        let list = "x".repeat(100_000);
        for _ in 0..MOST {
            ring.push("list".into(), Change::bye(&list), Instant::now());
            let kept = ring.entries.iter();
            let bytes: usize = kept.map(|entry| entry.change.data.len()).sum();
            assert!(bytes <= ROOM, "{bytes}");
        }
        assert_eq!(ring.missed(ring.last() - 20), Missed::Kept);
        assert_eq!(ring.missed(ring.last() - 50), Missed::TooOld);
        // One that is too big for all of it is told to those who listen.
        let huge = "x".repeat(2 * ROOM);
        ring.push("list".into(), Change::bye(&huge), Instant::now());
        assert!(ring.next(ring.last() - 1, &["list".into()]).is_some());
        assert_eq!(ring.entries.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_number_of_another_process_is_known_as_one() {
        let ring = ring(3);
        assert_eq!(ring.missed(88_214), Missed::Restarted);
        assert_eq!(ring.missed(ring.last() + 1), Missed::Restarted);
    }
}
