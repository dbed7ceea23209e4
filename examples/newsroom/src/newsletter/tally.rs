//! How many got a newsletter.

use std::fmt;

use nexios::TaskContext;

use super::{deliveries::Fate, register::Counts};
use crate::logging::in_a_destructor;

/// How many got the newsletter, told to the task after every mail, so that it is known whatever becomes of it.
pub(crate) struct Tally {
    task: TaskContext,
    pub(crate) newsletter: u64,
    pub(crate) total: u64,
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    pub(crate) in_doubt: u64,
    /// Those to be tried again.
    pub(crate) deferred: u64,
    /// Whether a mail was begun whose end is not known.
    on_its_way: bool,
    ended: bool,
}

impl Tally {
    pub(crate) fn new(task: TaskContext, newsletter: u64, total: u64) -> Self {
        Tally {
            task,
            newsletter,
            total,
            sent: 0,
            failed: 0,
            in_doubt: 0,
            deferred: 0,
            on_its_way: false,
            ended: false,
        }
    }

    pub(crate) fn begins(&mut self) {
        self.on_its_way = true;
        self.tell();
    }

    /// The mail that began has ended; none if it did not go out and is not counted.
    pub(crate) fn ends(&mut self, fate: Option<Fate>) {
        match fate {
            Some(Fate::Sent) => self.sent += 1,
            Some(Fate::Failed) => self.failed += 1,
            Some(Fate::InDoubt) => self.in_doubt += 1,
            Some(Fate::Deferred) => self.deferred += 1,
            None => {}
        }
        self.on_its_way = false;
        self.tell();
    }

    /// Somebody is not to get it any more.
    pub(crate) fn one_less(&mut self) {
        self.total = self.total.saturating_sub(1);
        self.tell();
    }

    /// It is over, and somebody says so.
    pub(crate) fn close(&mut self) {
        self.ended = true;
        // The database failed in its middle, and nothing says what became of the mail.
        self.in_doubt += u64::from(std::mem::take(&mut self.on_its_way));
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            sent: self.sent,
            failed: self.failed,
            in_doubt: self.in_doubt,
        }
    }

    /// How many certainly did not get it and may still.
    pub(crate) fn left(&self) -> u64 {
        self.total
            .saturating_sub(self.sent + self.failed + self.in_doubt)
    }

    fn tell(&self) {
        self.task
            .progress(self.sent + self.failed + self.in_doubt, self.total);
        self.task.message(self.to_string());
    }
}

impl Drop for Tally {
    /// A newsletter that is cut off has no other moment to say how far it came.
    fn drop(&mut self) {
        if !self.ended {
            let Tally {
                newsletter,
                sent,
                failed,
                in_doubt,
                ..
            } = *self;
            in_a_destructor(|| {
                tracing::error!(tally = %self, newsletter, sent, failed, in_doubt, "newsletter cut off");
            });
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent, {} failed", self.sent, self.failed)?;
        let others = [
            (self.in_doubt, "in doubt"),
            (self.deferred, "to be tried again"),
        ];
        for (count, what) in others
            .into_iter()
            .chain([(u64::from(self.on_its_way), "on its way")])
        {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}
