//! How many got a newsletter.

use std::fmt;

use super::deliveries::Counts;

/// How many got a newsletter, of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) total: u64,
    pub(super) counts: Counts,
}

impl Tally {
    /// How many are done with.
    pub(super) fn done(&self) -> u64 {
        self.counts.sent + self.counts.failed + self.counts.in_doubt
    }

    /// How many certainly did not get it and may still.
    pub(super) fn left(&self) -> u64 {
        self.total.saturating_sub(self.done())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            sent,
            failed,
            in_doubt,
            deferred,
            sending,
        } = self.counts;
        write!(f, "{sent} sent, {failed} failed")?;
        for (count, what) in [
            (in_doubt, "in doubt"),
            (deferred, "to be tried again"),
            (sending, "on its way"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}
