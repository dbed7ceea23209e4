//! The ids that tie a 500 in a client's hands to the line in our log.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Returns an id no other fault of this process has; it tells nothing about how many there were.
pub(crate) fn next_id() -> String {
    static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // Relaxed: only the uniqueness of the number matters.
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}", SECRET.hash_one(number))
}
