//! The parts of newsletters that this service is sending.

use tokio::sync::watch;

/// How many there are.
#[derive(Debug, Default)]
pub(super) struct Here(watch::Sender<usize>);

/// A part under way, until it is dropped.
pub(super) struct Running<'a>(&'a Here);

impl Here {
    pub(super) fn begin(&self) -> Running<'_> {
        self.0.send_modify(|running| *running += 1);
        Running(self)
    }

    /// Waits until no part is under way.
    pub(super) async fn idle(&self) {
        // The sender is ours, so there is an end to wait for.
        let _ = self.0.subscribe().wait_for(|running| *running == 0).await;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|running| *running -= 1);
    }
}
