use std::{borrow::Cow, fmt, panic::Location, sync::Arc};

use crate::work::place::name_of;

/// What a child is called: the given name, or where it was spawned.
#[derive(Clone, Debug)]
pub(super) enum ChildLabel {
    Given(&'static str),
    /// A name made at run time; clones share it.
    Made(Arc<str>),
    SpawnedAt(&'static Location<'static>),
}

impl ChildLabel {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Given(name) => name,
            Self::Made(name) => name,
            Self::SpawnedAt(location) => name_of(location),
        }
    }
}

impl ChildLabel {
    /// The given name.
    pub(super) fn given(&self) -> Option<&str> {
        match self {
            Self::Given(name) => Some(name),
            Self::Made(name) => Some(name),
            Self::SpawnedAt(_) => None,
        }
    }
}

impl From<Cow<'static, str>> for ChildLabel {
    fn from(name: Cow<'static, str>) -> Self {
        match name {
            Cow::Borrowed(name) => Self::Given(name),
            Cow::Owned(name) => Self::Made(name.into()),
        }
    }
}

impl fmt::Display for ChildLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(name) => f.write_str(name),
            Self::Made(name) => f.write_str(name),
            Self::SpawnedAt(location) => location.fmt(f),
        }
    }
}
