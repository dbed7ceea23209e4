//! Places that keep their number, in small chunks.
//!
//! A chunk stays below the kilobyte up to which the usual allocators recycle memory without a search; one growing
//! list of all children would be copied as it grows, and freeing it makes glibc tidy its whole heap.

/// How many places a chunk has.
const PLACES: usize = 8;

/// A list whose entries stay where they are; a free place is used again.
pub(super) struct Slots<T> {
    chunks: Vec<Box<[Place<T>; PLACES]>>,
    /// The free place that is used next.
    next: u32,
    /// How many places are taken.
    taken: usize,
}

enum Place<T> {
    Taken(T),
    /// And the free place to be used after this one.
    Free(u32),
}

fn split(slot: u32) -> (usize, usize) {
    (slot as usize / PLACES, slot as usize % PLACES)
}

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), next: 0, taken: 0 }
    }

    /// Where the next value will go.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// Puts a value into the next place.
    pub(super) fn insert(&mut self, value: T) {
        let (chunk, place) = split(self.next);
        if chunk == self.chunks.len() {
            let first = (chunk * PLACES) as u32;
            self.chunks.push(Box::new(std::array::from_fn(|place| Place::Free(first + place as u32 + 1))));
        }
        let place = &mut self.chunks[chunk][place];
        if let Place::Free(after) = std::mem::replace(place, Place::Taken(value)) {
            self.next = after;
        }
        self.taken += 1;
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let (chunk, place) = split(slot);
        match &mut self.chunks.get_mut(chunk)?[place] {
            Place::Taken(value) => Some(value),
            Place::Free(_) => None,
        }
    }

    /// Takes the value out and frees its place.
    pub(super) fn take(&mut self, slot: u32) -> Option<T> {
        let (chunk, place) = split(slot);
        let place = &mut self.chunks.get_mut(chunk)?[place];
        if matches!(place, Place::Free(_)) {
            return None;
        }
        let Place::Taken(value) = std::mem::replace(place, Place::Free(self.next)) else { return None };
        self.next = slot;
        self.taken -= 1;
        Some(value)
    }

    /// All values with their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let places = self.chunks.iter().flat_map(|chunk| chunk.iter());
        places.enumerate().filter_map(|(slot, place)| match place {
            Place::Taken(value) => Some((slot as u32, value)),
            Place::Free(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_place_is_used_again_before_a_new_one() {
        let mut slots = Slots::new();
        for value in 0..20 {
            assert_eq!(slots.next(), value);
            slots.insert(value);
        }
        assert_eq!(slots.take(3), Some(3));
        assert_eq!(slots.take(3), None);
        assert_eq!(slots.take(17), Some(17));
        assert_eq!(slots.next(), 17);
        slots.insert(100);
        slots.insert(101);
        assert_eq!((slots.get_mut(17).copied(), slots.get_mut(3).copied()), (Some(100), Some(101)));
        assert_eq!(slots.next(), 20);
        assert_eq!(slots.iter().map(|(slot, _)| slot).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
        (0..20).for_each(|slot| assert!(slots.take(slot).is_some()));
        assert!(slots.is_empty());
        assert_eq!(slots.get_mut(1_000), None);
    }
}
