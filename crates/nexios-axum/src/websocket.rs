//! Sockets that have left their connection, counted and told of the end.

use std::{borrow::Cow, future::Future, pin::pin, sync::Arc};

use futures_util::future::select;
use nexios::{CancelScope, CancelToken, observe};

use crate::{
    app::ServiceLife,
    app::{life::Life, register::Entry},
    punctual::punctual,
};

/// A socket that the shutdown waits for, from [`ServiceLife::track`] to the end of [`run`](Self::run).
///
/// Its request ends with the answer that hands the connection over. For observers the socket is work of its own.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use axum::{Router, routing::get};
/// use nexios_axum::{NexiosApp, ServiceLife};
///
/// // In place of `upgrade.on_upgrade(|socket| ..)`, see `ServiceLife::track`.
/// async fn feed(life: ServiceLife) {
///     let tracked = life.track("feed");
///     tokio::spawn(tracked.run(|closing| async move { drop(closing.cancelled().await) }));
/// }
///
/// let app = NexiosApp::new(Router::new().route("/feed", get(feed))).accepting(Duration::ZERO);
/// let handle = app.handle();
/// let service = tokio::spawn(app.serve("127.0.0.1:0"));
/// let address = handle.ready().await.ok_or("it did not start")?;
/// reqwest::get(format!("{address}/feed")).await?;
/// assert_eq!(handle.sockets(), 1);
/// handle.stop(); // waits for the socket, which is told
/// assert!(service.await??.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a socket is counted as long as this lives; `run` is its work"]
pub struct TrackedSocket {
    life: Arc<Life>,
    /// For observers; empty if nobody observes.
    name: Cow<'static, str>,
    entry: Entry<Cow<'static, str>>,
}

impl ServiceLife {
    /// Counts a WebSocket, or any other upgrade, under `name`, from now until its work has ended.
    ///
    /// Call it in the handler and [`run`](TrackedSocket::run) in the upgrade's callback: between the two the
    /// connection is gone already.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::{extract::ws::{Message, WebSocketUpgrade}, response::Response};
    /// use nexios_axum::{OrProblem, ServiceLife};
    ///
    /// // With the feature `ws`: a request that asks for no WebSocket is told so by a problem.
    /// async fn echo(OrProblem(upgrade): OrProblem<WebSocketUpgrade>, life: ServiceLife) -> Response {
    ///     let tracked = life.track("echo");
    ///     upgrade.on_upgrade(|mut socket| {
    ///         tracked.run(|closing| async move {
    ///             loop {
    ///                 tokio::select! {
    ///                     _ = closing.cancelled() => break,
    ///                     message = socket.recv() => {
    ///                         let Some(Ok(message)) = message else { return };
    ///                         if socket.send(message).await.is_err() {
    ///                             return;
    ///                         }
    ///                     }
    ///                 }
    ///             }
    ///             let _ = socket.send(Message::Close(None)).await; // says goodbye
    ///         })
    ///     })
    /// }
    /// ```
    pub fn track(&self, name: impl Into<Cow<'static, str>>) -> TrackedSocket {
        let name = name.into();
        let observed = if observe::anybody() {
            name.clone()
        } else {
            Cow::default()
        };
        TrackedSocket {
            life: Arc::clone(&self.life),
            name: observed,
            entry: self.life.sockets.enter(name),
        }
    }
}

impl TrackedSocket {
    /// Runs the work of the socket, which is given the token of [`ServiceLife::closing`].
    ///
    /// After that token has fired the work has the time of the phases `Closing` and `Cancelling`; with the
    /// latter the [`CancelScope`] of the work is cancelled. What has not ended then is dropped, and reported
    /// as abandoned.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, routing::get};
    /// use nexios_axum::{NexiosApp, ServiceLife};
    ///
    /// async fn stuck(life: ServiceLife) {
    ///     let tracked = life.track("stuck");
    ///     tokio::spawn(tracked.run(|_closing| std::future::pending())); // does not look at its token
    /// }
    ///
    /// let app = NexiosApp::new(Router::new().route("/stuck", get(stuck))).shutdown_limit(Duration::ZERO);
    /// let handle = app.handle();
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// reqwest::get(format!("{address}/stuck")).await?;
    /// handle.stop();
    /// let abandoned = service.await??.abandoned;
    /// assert!(abandoned.iter().any(|name| name.contains("stuck")), "{abandoned:?}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the work, and the socket is no longer counted.
    pub fn run<F, W>(self, work: F) -> impl Future<Output = ()> + use<F, W>
    where
        F: FnOnce(CancelToken) -> W,
        W: Future<Output = ()>,
    {
        let TrackedSocket { life, name, entry } = self;
        let scope = CancelScope::new(life.cancelling.child(), None);
        let observed = observe::custom(name);
        let work = observed.scope(|| work(life.closing.clone()));
        let work = observed.run(scope.run(work));
        async move {
            let _entry = entry;
            let (work, aborted) = (pin!(work), pin!(punctual(life.aborting.cancelled())));
            select(aborted, work).await;
        }
    }
}
