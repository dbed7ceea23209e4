//! How long each phase of the shutdown may take, and when it ends.

use std::time::Duration;

use tokio::time::Instant;

/// The settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The whole, from the signal to the end.
    pub(crate) total: Duration,
    /// How long new connections are still accepted.
    pub(crate) accepting: Duration,
    /// How long cancelled work may clean up.
    pub(crate) cancelling: Duration,
    /// What is kept for the shutdown hooks at the end.
    pub(crate) hooks: Duration,
}

impl Limits {
    /// A century of patience is for ever, and no overflow.
    fn countable(self) -> Self {
        let Limits {
            total,
            accepting,
            cancelling,
            hooks,
        } = self;
        let [total, accepting, cancelling, hooks] = [total, accepting, cancelling, hooks]
            .map(|limit| limit.min(Duration::from_secs(100 * 365 * 86_400)));
        Limits {
            total,
            accepting,
            cancelling,
            hooks,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            total: Duration::from_secs(30),
            accepting: Duration::from_secs(2),
            cancelling: Duration::from_secs(3),
            hooks: Duration::from_secs(1),
        }
    }
}

/// When the phases of one shutdown end at the latest; an instant only ever moves to the front.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    limits: Limits,
    /// The listener closes, streams are told to end.
    pub(crate) close: Instant,
    /// Requests and tasks are cancelled.
    pub(crate) cancel: Instant,
    /// What is left is dropped; the shutdown hooks run.
    pub(crate) abort: Instant,
    /// All is over.
    pub(crate) end: Instant,
}

impl Schedule {
    /// Counts backwards from the end, so that a total that is too short for all phases cuts the first ones.
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        let limits = limits.countable();
        let total = limits.total;
        let before_end = |reserve: Duration| now + total.saturating_sub(reserve);
        let abort = before_end(limits.hooks);
        let cancel = before_end(limits.hooks.saturating_add(limits.cancelling));
        let close = (now + limits.accepting.min(total)).min(cancel);
        Schedule {
            limits,
            close,
            cancel,
            abort,
            end: now + total,
        }
    }

    /// Skips the phase that goes on: what is undisturbed is cancelled, what is cancelled is dropped.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if now < self.cancel {
            (self.close, self.cancel) = (self.close.min(now), now);
            self.abort = self.abort.min(now + self.limits.cancelling);
        } else if now < self.abort {
            self.abort = now;
        } else {
            self.end = self.end.min(now);
        }
        self.end = self.end.min(self.abort + self.limits.hooks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(schedule: &Schedule, begin: Instant) -> [u64; 4] {
        [
            schedule.close,
            schedule.cancel,
            schedule.abort,
            schedule.end,
        ]
        .map(|at| (at - begin).as_secs())
    }

    #[test]
    fn the_default_is_two_of_accepting_three_of_cancelling_and_thirty_in_all() {
        let begin = Instant::now();
        assert_eq!(
            seconds(&Schedule::new(Limits::default(), begin), begin),
            [2, 26, 29, 30]
        );
    }

    #[test]
    fn a_short_total_cuts_the_first_phases() {
        let begin = Instant::now();
        let limits = Limits {
            total: Duration::from_secs(3),
            ..Limits::default()
        };
        assert_eq!(seconds(&Schedule::new(limits, begin), begin), [0, 0, 2, 3]);
        let limits = Limits {
            total: Duration::ZERO,
            ..Limits::default()
        };
        assert_eq!(seconds(&Schedule::new(limits, begin), begin), [0, 0, 0, 0]);
        let limits = Limits {
            accepting: Duration::MAX,
            hooks: Duration::MAX,
            ..Limits::default()
        };
        assert_eq!(seconds(&Schedule::new(limits, begin), begin), [0, 0, 0, 30]);
    }

    #[test]
    fn an_endless_total_does_not_overflow() {
        let begin = Instant::now();
        let limits = Limits {
            total: Duration::MAX,
            ..Limits::default()
        };
        let schedule = Schedule::new(limits, begin);
        assert!(schedule.cancel < schedule.abort && schedule.abort < schedule.end);
    }

    #[test]
    fn an_endless_limit_can_be_hurried() {
        let (begin, endless) = (Instant::now(), Duration::MAX);
        for [total, accepting, cancelling, hooks] in [
            [endless, endless, endless, endless],
            [endless, Duration::ZERO, Duration::ZERO, Duration::ZERO],
            [
                Duration::from_secs(30),
                endless,
                Duration::from_secs(3),
                Duration::from_secs(1),
            ],
            [
                Duration::from_secs(30),
                Duration::ZERO,
                endless,
                Duration::from_secs(1),
            ],
            [
                Duration::from_secs(30),
                Duration::ZERO,
                Duration::from_secs(3),
                endless,
            ],
        ] {
            let mut schedule = Schedule::new(
                Limits {
                    total,
                    accepting,
                    cancelling,
                    hooks,
                },
                begin,
            );
            (0..4).for_each(|_| schedule.hurry(begin));
            assert_eq!(seconds(&schedule, begin), [0; 4]);
        }
    }

    #[test]
    fn each_hurry_skips_one_phase_and_moves_nothing_back() {
        let begin = Instant::now();
        let mut schedule = Schedule::new(Limits::default(), begin);
        schedule.hurry(begin + Duration::from_secs(1));
        assert_eq!(seconds(&schedule, begin), [1, 1, 4, 5]);
        schedule.hurry(begin + Duration::from_secs(2));
        assert_eq!(seconds(&schedule, begin), [1, 1, 2, 3]);
        schedule.hurry(begin + Duration::from_secs(2));
        assert_eq!(seconds(&schedule, begin), [1, 1, 2, 2]);

        let mut late = Schedule::new(Limits::default(), begin);
        late.hurry(begin + Duration::from_secs(25));
        assert_eq!(seconds(&late, begin), [2, 25, 28, 29]);
    }
}
