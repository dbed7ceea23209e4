//! Lines of the log that clients can provoke at will.
//!
//! A warning is for a person. What one client can have said a thousand times a second wakes that person for nothing,
//! fills the disk and hides what matters. Such a warning is said once in a while, with how often it was meant; what
//! each single case has to say is a line at INFO. A fault of the program, a 500, keeps a line of its own: a client
//! holds its id.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::log::log;

/// One such line.
#[derive(Debug)]
pub(crate) struct RationedLog {
    /// It is not said again before.
    pause: Duration,
    said: Mutex<Said>,
}

#[derive(Debug)]
struct Said {
    last: Option<Instant>,
    /// How often it was meant and not said.
    unsaid: u64,
}

impl RationedLog {
    /// A line that is said once in a `pause` at most.
    pub(crate) const fn every(pause: Duration) -> Self {
        let said = Said {
            last: None,
            unsaid: 0,
        };
        RationedLog {
            pause,
            said: Mutex::new(said),
        }
    }

    /// Has `line` said, which is told how often it was meant since it was last said, this time included; or only counts.
    pub(crate) fn say(&self, line: impl FnOnce(u64)) {
        if let Some(count) = self.count() {
            // Outside the lock: a subscriber is others' code.
            log(|| line(count));
        }
    }

    fn count(&self) -> Option<u64> {
        // Plain data; a poisoned one is still whole.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.unsaid += 1;
        let now = Instant::now();
        if said
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < self.pause)
        {
            return None;
        }
        said.last = Some(now);
        Some(std::mem::take(&mut said.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, time::Duration};

    use tokio::time::advance;

    use super::RationedLog;

    #[tokio::test(start_paused = true)]
    async fn a_line_is_said_once_in_a_pause_with_how_often_it_was_meant() {
        let line = RationedLog::every(Duration::from_secs(1));
        let said = RefCell::new(Vec::new());
        let mean =
            |times: usize| (0..times).for_each(|_| line.say(|count| said.borrow_mut().push(count)));
        mean(1_000);
        assert_eq!(*said.borrow(), [1]);
        advance(Duration::from_millis(999)).await;
        mean(1);
        assert_eq!(*said.borrow(), [1], "a second is not over");
        advance(Duration::from_millis(1)).await;
        mean(5);
        assert_eq!(*said.borrow(), [1, 1_001]);
        advance(Duration::from_secs(60)).await;
        mean(1);
        assert_eq!(*said.borrow(), [1, 1_001, 5]);
    }

    #[test]
    fn a_subscriber_that_panics_costs_the_line_alone() {
        let line = RationedLog::every(Duration::ZERO);
        line.say(|_| panic!("standard error is away"));
        line.say(|count| assert_eq!(count, 1));
    }
}
