//! What is left when the children are gone: aborted tasks that unwind, then the finalizers.

use super::{finalizers::Finalizers, unwinding::UnwindingChildren};
use crate::panics::Payload;

/// What `run` waits for after its children. Dropped, it becomes the business of the process.
#[derive(Default)]
pub(super) struct Afterwards<'env> {
    pub(super) unwinding: UnwindingChildren<'env>,
    pub(super) finalizers: Finalizers,
}

impl Afterwards<'_> {
    /// Waits for the unwinding, then runs the finalizers; returns their first panic.
    pub(super) async fn finish(&mut self) -> Option<Payload> {
        self.unwinding.wait().await;
        self.finalizers.run().await
    }
}
