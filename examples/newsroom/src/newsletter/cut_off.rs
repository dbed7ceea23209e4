//! The last word of what is dropped in its middle, as the end of the service came first.

use super::tally::Tally;

/// A mail whose text goes out, until it is known what became of it.
pub(super) struct OnItsWay {
    pub(super) newsletter: i64,
    pub(super) subscriber: i64,
    pub(super) is_known: bool,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        if !self.is_known {
            let (newsletter, subscriber) = (self.newsletter, self.subscriber);
            tracing::warn!(
                newsletter,
                subscriber,
                "cut off in a mail, which is in doubt"
            );
        }
    }
}

/// A newsletter that is watched over, until it has ended or is handed back.
pub(super) struct Watched {
    pub(super) newsletter: i64,
    /// As it was at the last look.
    pub(super) tally: Option<Tally>,
    pub(super) is_over: bool,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(tally) = self.tally
            && !self.is_over
        {
            let (newsletter, left) = (self.newsletter, tally.left());
            tracing::warn!(%tally, newsletter, left, "newsletter cut off, and handed back");
        }
    }
}
