//! What things are called that have no name: by the place in the program that made them.

use std::{panic::Location, ptr, sync::OnceLock};

/// A power of two. A program has some hundred places that make work, in the rule.
const SLOTS: usize = 1 << 10;

/// The places that were asked for, each with its text, in chains by the place's address. What is in one stays there: there are
/// only as many as the program has calls that make something.
static PLACES: [Chain; SLOTS] = [const { Chain(OnceLock::new()) }; SLOTS];

struct Chain(OnceLock<Box<Place>>);

struct Place {
    location: &'static Location<'static>,
    name: String,
    next: Chain,
}

/// The place as `file:line:column`. It is written once; from then on nothing is locked and nothing allocated.
pub(crate) fn name_of(location: &'static Location<'static>) -> &'static str {
    // Locations lie beside each other, so the middle bits of their addresses tell them apart.
    let address = ptr::from_ref(location).addr();
    let mut chain = &PLACES[address / size_of::<Location<'_>>() % SLOTS];
    loop {
        let place = chain.0.get_or_init(|| {
            Box::new(Place {
                location,
                name: location.to_string(),
                next: Chain(OnceLock::new()),
            })
        });
        if ptr::eq(place.location, location) {
            return &place.name;
        }
        chain = &place.next;
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[track_caller]
    fn here() -> &'static Location<'static> {
        Location::caller()
    }

    #[test]
    fn a_place_is_written_once_whoever_asks_for_it() {
        let (one, other) = (here(), here());
        let name = name_of(one);
        assert_eq!(name, one.to_string());
        assert_eq!(name_of(other), other.to_string());
        let asked = thread::spawn(move || name_of(one)).join();
        assert!(asked.is_ok_and(|asked| ptr::eq(asked, name)));
    }

    #[test]
    fn places_that_share_a_chain_are_told_apart() {
        // Copies have addresses of their own, more of them than there are chains.
        let copies: Vec<&'static Location<'static>> = (0..2 * SLOTS)
            .map(|_| &*Box::leak(Box::new(*here())))
            .collect();
        let names: Vec<&str> = copies.iter().map(|copy| name_of(copy)).collect();
        for (copy, name) in copies.iter().zip(&names) {
            assert!(ptr::eq(name_of(copy), *name));
        }
    }
}
