use std::{borrow::Cow, fmt, panic::Location};

/// What a child is called: the given name, or where it was spawned.
#[derive(Clone, Debug)]
pub(super) enum Label {
    Given(Cow<'static, str>),
    SpawnedAt(&'static Location<'static>),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(name) => f.write_str(name),
            Self::SpawnedAt(location) => location.fmt(f),
        }
    }
}
