//! How the numbers of tasks are spread over a table.

use std::hash::Hasher;

/// Spreads numbers, which count up and which nobody else chooses, over a table.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // 2 to the 64, divided by the golden ratio (Knuth, The Art of Computer Programming, 6.4). Turned, as the table
        // looks at the upper and at the lower bits.
        self.0 = (self.0 ^ number)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
