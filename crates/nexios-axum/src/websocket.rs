//! Sockets that have left their connection, counted and told of the end.

use std::{borrow::Cow, future::Future, pin::pin, sync::Arc};

use futures_util::future::select;
use nexios::{CancelScope, CancelToken};

use crate::{
    app::ServiceLife,
    app::{life::Life, register::Entry},
    punctual::punctual,
};

/// A socket that the shutdown waits for, from [`ServiceLife::track`] to the end of [`run`](Self::run).
#[derive(Debug)]
#[must_use = "a socket is counted as long as this lives; `run` is its work"]
pub struct TrackedSocket {
    life: Arc<Life>,
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
    /// # use std::future::Future;
    /// # use axum::response::Response;
    /// # struct WebSocketUpgrade;
    /// # struct WebSocket;
    /// # impl WebSocketUpgrade {
    /// #     fn on_upgrade<F: Future<Output = ()>>(self, _: impl FnOnce(WebSocket) -> F) -> Response { unimplemented!() }
    /// # }
    /// # impl WebSocket {
    /// #     async fn recv(&mut self) -> Option<Result<String, ()>> { None }
    /// #     async fn send(&mut self, _: String) -> Result<(), ()> { Ok(()) }
    /// #     async fn close(self) {}
    /// # }
    /// use nexios_axum::ServiceLife;
    ///
    /// // `WebSocketUpgrade` is axum's, behind its feature `ws`.
    /// async fn echo(upgrade: WebSocketUpgrade, life: ServiceLife) -> Response {
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
    ///             socket.close().await; // says goodbye
    ///         })
    ///     })
    /// }
    /// ```
    pub fn track(&self, name: impl Into<Cow<'static, str>>) -> TrackedSocket {
        let entry = self.life.sockets.enter(name.into());
        TrackedSocket {
            life: Arc::clone(&self.life),
            entry,
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
    /// # Cancel safety
    ///
    /// Dropping the future drops the work, and the socket is no longer counted.
    pub fn run<F, W>(self, work: F) -> impl Future<Output = ()> + use<F, W>
    where
        F: FnOnce(CancelToken) -> W,
        W: Future<Output = ()>,
    {
        let TrackedSocket { life, entry } = self;
        let scope = CancelScope::new(life.cancelling.child(), None);
        let work = scope.run(work(life.closing.clone()));
        async move {
            let _entry = entry;
            let (work, aborted) = (pin!(work), pin!(punctual(life.aborting.cancelled())));
            select(aborted, work).await;
        }
    }
}
