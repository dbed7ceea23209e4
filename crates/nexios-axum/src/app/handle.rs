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
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    ///
    /// let app = NexiosApp::new(Router::new()).accepting(Duration::ZERO);
    /// let handle = app.handle();
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// handle.ready().await;
    /// handle.stop();
    /// assert_eq!(service.await??.cause, "stopped by the program");
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop(&self) {
        self.life.stop("stopped by the program");
    }

    /// Where the service is in its life.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::Router;
    /// use nexios_axum::{NexiosApp, Phase};
    ///
    /// let app = NexiosApp::new(Router::new());
    /// let handle = app.handle();
    /// assert_eq!(handle.phase(), Phase::Starting);
    /// drop(app);
    /// assert_eq!(handle.phase(), Phase::Stopped);
    /// ```
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.life.phase()
    }

    /// Waits until the service listens and returns where; `None` if it has ended before, or was dropped unserved.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, routing::get};
    /// use nexios_axum::NexiosApp;
    ///
    /// let app = NexiosApp::new(Router::new().route("/", get(async || "hello")));
    /// let handle = app.handle();
    /// tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?; // http://127.0.0.1:41327
    /// assert_eq!(reqwest::get(address.to_string()).await?.text().await?, "hello");
    /// # Ok(())
    /// # }
    /// ```
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
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::Router;
    /// use nexios_axum::{NexiosApp, Phase};
    ///
    /// let app = NexiosApp::new(Router::new()).accepting(Duration::ZERO);
    /// let handle = app.handle();
    /// let consumer = tokio::spawn({
    ///     let handle = handle.clone();
    ///     async move { handle.reached(Phase::Draining).await } // from now on it takes nothing from its queue
    /// });
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// handle.ready().await;
    /// handle.stop();
    /// consumer.await?;
    /// service.await??;
    /// assert_eq!(handle.phase(), Phase::Stopped);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Safe: it only looks.
    pub async fn reached(&self, phase: Phase) {
        // Cannot fail: the sender is ours.
        let _ = punctual(self.life.phases().wait_for(|now| *now >= phase)).await;
    }

    /// How many connections are open, WebSockets not counted.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, routing::get};
    /// use nexios_axum::NexiosApp;
    ///
    /// let app = NexiosApp::new(Router::new().route("/", get(async || "hello")));
    /// let handle = app.handle();
    /// tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// let client = reqwest::Client::new();
    /// client.get(address.to_string()).send().await?.text().await?;
    /// assert_eq!(handle.connections(), 1); // the client keeps it for its next request
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn connections(&self) -> usize {
        self.life.connections.len()
    }

    /// How many WebSockets and other [tracked](crate::ServiceLife::track) sockets are open.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, routing::get};
    /// use nexios_axum::{NexiosApp, ServiceLife};
    ///
    /// async fn feed(life: ServiceLife) {
    ///     let tracked = life.track("feed"); // in place of an upgrade to a WebSocket
    ///     tokio::spawn(tracked.run(|closing| async move { drop(closing.cancelled().await) }));
    /// }
    ///
    /// let app = NexiosApp::new(Router::new().route("/feed", get(feed)));
    /// let handle = app.handle();
    /// tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// assert_eq!(handle.sockets(), 0);
    /// reqwest::get(format!("{address}/feed")).await?;
    /// assert_eq!(handle.sockets(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.life.sockets.len()
    }
}
