//! What work says while it waits for work that is not its own.

use super::{current, handle::Handle, identity::WorkId, observers, outcome::Update};

/// The work that runs here waits, until this is dropped. Dropped elsewhere, as by who goes on with a call that was begun
/// inside other work, it says nothing: that work may have ended.
pub(crate) struct Waiting(Handle);

impl Waiting {
    /// Says so, if the work that runs here is observed.
    #[inline]
    pub(crate) fn begin(
        name: impl FnOnce() -> String,
        on: impl FnOnce() -> Option<WorkId>,
    ) -> Option<Self> {
        if !observers::anybody() {
            return None;
        }
        let work = current::innermost()?;
        work.update(&Update::Waiting {
            name: &name(),
            on: on(),
        });
        Some(Self(work))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if current::current() == Some(self.0.id()) {
            self.0.update(&Update::Resumed);
        }
    }
}
