//! Places that keep their number, in small chunks.
//!
//! A chunk stays below the kilobyte up to which the usual allocators recycle memory without a search; one growing
//! list of all children would be copied as it grows, and freeing it makes glibc tidy its whole heap.

/// How many places a chunk has.
const PLACES: usize = 8;

/// A list whose entries stay where they are; a free place is used again.
pub(super) struct Slots<T> {
    /// The first chunk; a small group has no other.
    first: Vec<Place<T>>,
    more: Vec<Vec<Place<T>>>,
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

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Self {
            first: Vec::new(),
            more: Vec::new(),
            next: 0,
            taken: 0,
        }
    }

    /// Where the next value will go.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0
    }

    fn place(&mut self, slot: u32) -> Option<&mut Place<T>> {
        let slot = slot as usize;
        if slot < PLACES {
            self.first.get_mut(slot)
        } else {
            self.more.get_mut(slot / PLACES - 1)?.get_mut(slot % PLACES)
        }
    }

    /// Puts a value into the next place.
    pub(super) fn insert(&mut self, value: T) {
        let slot = self.next;
        self.taken += 1;
        let chunk = self.chunk(slot as usize);
        match chunk.get_mut(slot as usize % PLACES) {
            Some(place) => {
                let Place::Free(after) = *place else { return };
                *place = Place::Taken(value);
                self.next = after;
            }
            None => {
                chunk.push(Place::Taken(value));
                self.next = slot + 1;
            }
        }
    }

    /// The chunk of a place that is free or the first unused one.
    fn chunk(&mut self, slot: usize) -> &mut Vec<Place<T>> {
        let chunk = if slot < PLACES {
            &mut self.first
        } else {
            let chunk = slot / PLACES - 1;
            if chunk == self.more.len() {
                self.more.push(Vec::new());
            }
            &mut self.more[chunk]
        };
        if chunk.capacity() == 0 {
            chunk.reserve_exact(PLACES);
        }
        chunk
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        match self.place(slot)? {
            Place::Taken(value) => Some(value),
            Place::Free(_) => None,
        }
    }

    /// Takes the value out and frees its place, if it is the one that is meant.
    #[inline]
    pub(super) fn take_if(&mut self, slot: u32, is_meant: impl FnOnce(&T) -> bool) -> Option<T> {
        let next = self.next;
        let place = self.place(slot)?;
        if !matches!(place, Place::Taken(value) if is_meant(value)) {
            return None;
        }
        let Place::Taken(value) = std::mem::replace(place, Place::Free(next)) else {
            return None;
        };
        self.next = slot;
        self.taken -= 1;
        Some(value)
    }

    /// All values with their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let places = self.first.iter().chain(self.more.iter().flatten());
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
        assert_eq!(slots.take_if(3, |_| true), Some(3));
        assert_eq!(slots.take_if(3, |_| true), None);
        assert_eq!(slots.take_if(17, |_| true), Some(17));
        assert_eq!(slots.next(), 17);
        slots.insert(100);
        slots.insert(101);
        assert_eq!(
            (slots.get_mut(17).copied(), slots.get_mut(3).copied()),
            (Some(100), Some(101))
        );
        assert_eq!(slots.next(), 20);
        assert_eq!(
            slots.iter().map(|(slot, _)| slot).collect::<Vec<_>>(),
            (0..20).collect::<Vec<_>>()
        );
        (0..20).for_each(|slot| assert!(slots.take_if(slot, |_| true).is_some()));
        assert!(slots.is_empty());
        assert_eq!(slots.get_mut(1_000), None);
    }
}
