use std::{borrow::Cow, time::Duration};

/// The value that won a race, and how.
#[derive(Debug)]
#[non_exhaustive]
pub struct Winner<T> {
    /// What the winner returned.
    pub value: T,
    /// The winner's name.
    pub name: Cow<'static, str>,
    /// The winner's place in the list, from zero.
    pub index: usize,
    /// From the race's first poll to its end.
    pub elapsed: Duration,
    /// How many candidates were polled at least once, the winner among them.
    pub started: usize,
}
