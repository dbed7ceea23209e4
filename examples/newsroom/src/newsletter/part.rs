//! A part of a newsletter's way: so many subscribers as one service mails in one go.

use serde::{Deserialize, Serialize};

use nexios_jobs::JobId;

/// A killed service loses the place in so few mails, and so many services share ten thousand of them.
pub(super) const SUBSCRIBERS: u32 = 50;

/// Those subscribers of a newsletter whose numbers are greater than `after` and not greater than `up_to`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Part {
    /// The job of the whole newsletter.
    pub(super) whole: JobId,
    pub(super) newsletter: i64,
    pub(super) after: i64,
    pub(super) up_to: i64,
}

impl Part {
    /// The parts that end with these subscribers.
    pub(super) fn all(whole: JobId, newsletter: i64, ends: &[i64]) -> Vec<Self> {
        let mut after = i64::MIN;
        let part = |&up_to| Part {
            whole,
            newsletter,
            after: std::mem::replace(&mut after, up_to),
            up_to,
        };
        ends.iter().map(part).collect()
    }

    /// There is one living job for each part, whoever starts it again.
    pub(super) fn key(&self) -> String {
        format!("{}:{}", self.newsletter, self.up_to)
    }
}
