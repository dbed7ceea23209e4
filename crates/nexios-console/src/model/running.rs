//! All live work.

use serde::Serialize;

use super::{Redact, Work};

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Running {
    /// How much matches the filter, on all pages.
    pub(crate) total: usize,
    /// The page that this is, from 1.
    pub(crate) page: usize,
    /// How many there are; 1 where there is nothing.
    pub(crate) pages: usize,
    /// Oldest first; as a tree: roots oldest first, and after each its parts.
    pub(crate) work: Vec<Work>,
}

impl Redact for Running {
    fn hide(&mut self) {
        self.work.hide();
    }
}
