//! Random numbers and names, from the standard library's hash keys.

use std::hash::{BuildHasher, Hasher, RandomState};

pub(crate) fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A name that no other store has.
pub(crate) fn name() -> String {
    format!("{:016x}{:016x}", number(), number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_are_not_the_same() {
        assert_ne!(name(), name());
        assert_eq!(name().len(), 32);
    }
}
