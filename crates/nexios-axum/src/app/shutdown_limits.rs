//! How long each phase of the shutdown may take, and when it ends.

use std::time::Duration;

use tokio::time::Instant;

/// How long cancelled work may clean up, if nobody says how long.
const CANCELLING: Duration = Duration::from_secs(3);

/// What is kept for the shutdown hooks, if nobody says how much.
const HOOKS: Duration = Duration::from_secs(1);

/// The settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The whole, from the signal to the end.
    pub(crate) total: Duration,
    /// How long new connections are still accepted.
    pub(crate) accepting: Duration,
    /// How long cancelled work may clean up, if somebody has said.
    pub(crate) cancelling: Option<Duration>,
    /// What is kept for the shutdown hooks at the end, if somebody has said.
    pub(crate) hooks: Option<Duration>,
}

impl Limits {
    /// How long cancelled work may clean up.
    pub(crate) fn cancelling(&self) -> Duration {
        self.cancelling.unwrap_or_else(|| self.share(CANCELLING))
    }

    /// What is kept for the shutdown hooks at the end.
    pub(crate) fn hooks(&self) -> Duration {
        self.hooks.unwrap_or_else(|| self.share(HOOKS))
    }

    /// What a phase has whose limit nobody has set: a third of a short total, so that work has its third undisturbed.
    fn share(&self, usual: Duration) -> Duration {
        usual.min(self.total / 3)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            total: Duration::from_secs(30),
            accepting: Duration::from_secs(2),
            cancelling: None,
            hooks: None,
        }
    }
}

/// A century of patience is for ever, and no overflow.
fn countable(limit: Duration) -> Duration {
    limit.min(Duration::from_secs(100 * 365 * 86_400))
}

/// When the phases of one shutdown end at the latest; an instant only ever moves to the front.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// How long cancelled work may clean up.
    cancelling: Duration,
    /// What is kept for the shutdown hooks.
    hooks: Duration,
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
        let [total, accepting, cancelling, hooks] = [
            limits.total,
            limits.accepting,
            limits.cancelling(),
            limits.hooks(),
        ]
        .map(countable);
        let before_end = |reserve: Duration| now + total.saturating_sub(reserve);
        let abort = before_end(hooks);
        let cancel = before_end(hooks.saturating_add(cancelling));
        let close = (now + accepting.min(total)).min(cancel);
        Schedule {
            cancelling,
            hooks,
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
            self.abort = self.abort.min(now + self.cancelling);
        } else if now < self.abort {
            self.abort = now;
        } else {
            self.end = self.end.min(now);
        }
        self.end = self.end.min(self.abort + self.hooks);
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
    fn what_nobody_has_set_takes_a_third_of_a_short_total_at_most() {
        let begin = Instant::now();
        let short = |total: u64| Limits {
            total: Duration::from_secs(total),
            ..Limits::default()
        };
        for (total, phases) in [
            (12, [2, 8, 11, 12]),
            (9, [2, 5, 8, 9]),
            (6, [2, 3, 5, 6]),
            (3, [1, 1, 2, 3]),
            (0, [0, 0, 0, 0]),
        ] {
            let schedule = Schedule::new(short(total), begin);
            assert_eq!(seconds(&schedule, begin), phases, "of {total}");
        }
    }

    #[test]
    fn a_total_that_is_too_short_for_what_was_set_cuts_the_first_phases() {
        let begin = Instant::now();
        let limits = Limits {
            total: Duration::from_secs(3),
            cancelling: Some(Duration::from_secs(3)),
            hooks: Some(Duration::from_secs(1)),
            ..Limits::default()
        };
        assert_eq!(seconds(&Schedule::new(limits, begin), begin), [0, 0, 2, 3]);
        let limits = Limits {
            accepting: Duration::MAX,
            hooks: Some(Duration::MAX),
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
                    cancelling: Some(cancelling),
                    hooks: Some(hooks),
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
