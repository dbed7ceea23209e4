//! The parts of newsletters that this service is sending, and whether it takes more of them.

use tokio::sync::watch;

#[derive(Debug, Default)]
pub(super) struct Here {
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    closing: bool,
}

/// A part under way, until it is dropped.
pub(super) struct Running<'a>(&'a Here);

impl Here {
    pub(super) fn begin(&self) -> Running<'_> {
        self.state.send_modify(|state| state.running += 1);
        Running(self)
    }

    /// No further part is begun here.
    pub(super) fn close(&self) {
        self.state.send_modify(|state| state.closing = true);
    }

    /// Whether this service is done with newsletters.
    pub(super) fn is_over(&self) -> bool {
        let state = self.state.borrow();
        state.closing && state.running == 0
    }

    /// Waits until no part is under way.
    pub(super) async fn idle(&self) {
        // The sender is ours, so there is an end to wait for.
        let _ = self
            .state
            .subscribe()
            .wait_for(|state| state.running == 0)
            .await;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| state.running -= 1);
    }
}
