//! The way to look at a service and end it from code.

use std::sync::Arc;

use super::{life::Life, listener::ListenAddress, phase::Phase};
use crate::punctual::punctual;

/// Watches a service and ends it, from wherever it is needed; clones are the same.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use axum::{Router, routing::get};
/// use nexios::Background;
/// use nexios_axum::NexiosApp;
///
/// let app = NexiosApp::new(Router::new().route("/", get(|| async { "hello" })))
///     .background(Background::new())
///     .accepting(Duration::ZERO);
/// let handle = app.handle();
/// let service = tokio::spawn(app.serve("127.0.0.1:0"));
/// let address = handle.ready().await.ok_or("it did not start")?;
/// println!("listening on {address}");
/// handle.stop();
/// assert!(service.await??.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AppHandle {
    life: Arc<Life>,
}

impl AppHandle {
    pub(crate) fn new(life: Arc<Life>) -> Self {
        AppHandle { life }
    }

    /// Ends the service as a signal would; a further call hurries, as a further signal does.
    pub fn stop(&self) {
        self.life.stop("stopped by the program");
    }

    /// Where the service is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.life.phase()
    }

    /// Waits until the service listens and returns where; `None` if it has ended before, or was dropped unserved.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only looks.
    pub async fn ready(&self) -> Option<ListenAddress> {
        self.reached(Phase::Ready).await;
        self.life.address()
    }

    /// Waits until the service has come to `phase`, or to a later one.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only looks.
    pub async fn reached(&self, phase: Phase) {
        // Cannot fail: the sender is ours.
        let _ = punctual(self.life.phases().wait_for(|now| *now >= phase)).await;
    }

    /// How many connections are open, WebSockets not counted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.life.connections.len()
    }

    /// How many WebSockets and other [tracked](crate::ServiceLife::track) sockets are open.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.life.sockets.len()
    }
}
