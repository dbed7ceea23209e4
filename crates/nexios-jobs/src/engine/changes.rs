//! Tells those who wait that something in the store may have changed.

use tokio::sync::watch;

use crate::punctual::punctual;

/// Told by whoever changes the store in this process, and by who watches it for changes of others.
#[derive(Debug)]
pub(crate) struct Changes {
    count: watch::Sender<u64>,
}

/// Somebody who waits for changes. It hears of all that come after it was made.
#[derive(Debug)]
pub(crate) struct Listener(watch::Receiver<u64>);

impl Changes {
    pub(crate) fn new() -> Self {
        Self {
            count: watch::Sender::new(0),
        }
    }

    pub(crate) fn tell(&self) {
        self.count
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn listen(&self) -> Listener {
        Listener(self.count.subscribe())
    }

    /// Whether anybody would hear it.
    #[cfg(feature = "sqlite")]
    pub(crate) fn is_heard(&self) -> bool {
        self.count.receiver_count() > 0
    }
}

impl Listener {
    /// Waits for a change; changes in quick succession are one. Once the store is gone, for ever.
    pub(crate) async fn changed(&mut self) {
        if punctual(self.0.changed()).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
