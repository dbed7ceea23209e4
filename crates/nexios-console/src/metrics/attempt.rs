//! Attempts of background tasks and of jobs, and runs of schedules: each is counted as it ends.

use nexios::observe::Update;

/// The one that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It began with its work, if that is no schedule.
    First,
    /// Its beginning was said.
    Said,
    /// None: the last one is counted.
    None,
}

impl Attempt {
    /// Takes in what is said of its work; how the one that was under way has ended, if it has.
    pub(super) fn updated(&mut self, update: &Update<'_>) -> Option<&'static str> {
        let before = *self;
        let (now, outcome) = match update {
            Update::Attribute {
                name: "last_error",
                value,
            } if !value.is_empty() => (Self::None, (before != Self::None).then_some("failure")),
            // A schedule waits for its next run. What began with it was none.
            Update::Attribute {
                name: "next_unix_ms",
                ..
            } => (Self::None, (before == Self::Said).then_some("success")),
            // Of a run whose end nobody had the time to tell; a failure was told. An attempt at a job is work of its own, which says
            // its number as it begins.
            Update::Attempt(_) => (Self::Said, (before == Self::Said).then_some("success")),
            _ => return None,
        };
        *self = now;
        outcome
    }
}
