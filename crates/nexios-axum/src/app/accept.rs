//! The loop that lets clients in.

use std::{io, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    connection::Server,
    listener::{Accepted, Bound, notice_dead_peers},
};

/// How long to wait after the system would not give us a connection: the first time, and at most.
const PAUSE: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];

/// The door of a service.
pub(crate) struct Door {
    pub(crate) server: Arc<Server>,
    /// One permit for each connection that may still come.
    pub(crate) places: Arc<Semaphore>,
    /// How long a TCP peer may acknowledge nothing.
    pub(crate) silence: Duration,
}

impl Door {
    /// Lets clients in until the service closes; the listener closes with it.
    pub(crate) async fn stand_open(self, listener: Bound) {
        let closing = self.server.life.closing.clone();
        // Clients first: whoever has come until then is let in.
        tokio::select! {
            biased;
            () = self.accept(&listener) => {}
            _ = closing.cancelled() => {}
        }
    }

    async fn accept(&self, listener: &Bound) {
        let mut pause = PAUSE[0];
        let mut full = false;
        loop {
            if self.places.available_permits() == 0 && !std::mem::replace(&mut full, true) {
                tracing::warn!("as many connections are open as may be; the next ones wait");
            }
            // The semaphore is never closed.
            let Ok(place) = self.places.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok(accepted) => {
                    (pause, full) = (PAUSE[0], full && self.places.available_permits() == 0);
                    self.let_in(accepted, place);
                }
                Err(error) if is_the_client(&error) => {}
                // Too many open files, most of the time: trying again at once would only burn the processor.
                Err(error) => {
                    tracing::error!(%error, ?pause, "cannot accept connections");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE[1]);
                }
            }
        }
    }

    fn let_in(&self, accepted: Accepted, place: OwnedSemaphorePermit) {
        let server = self.server.clone();
        match accepted {
            Accepted::Tcp(stream, peer) => {
                let options =
                    stream.set_nodelay(true).and_then(|()| notice_dead_peers(&stream, self.silence));
                if let Err(error) = options {
                    tracing::debug!(%error, %peer, "socket options");
                }
                let open = server.life.connections.enter(server.life.clone(), peer.to_string());
                tokio::spawn(async move {
                    let _place = place;
                    server.connection(stream, Some(peer), open).await;
                });
            }
            #[cfg(unix)]
            Accepted::Unix(stream, peer) => {
                let name = peer.and_then(|peer| peer.pid()).map(|pid| format!("process {pid}"));
                let open = server
                    .life
                    .connections
                    .enter(server.life.clone(), name.unwrap_or_else(|| "a process".to_owned()));
                tokio::spawn(async move {
                    let _place = place;
                    server.connection(stream, peer, open).await;
                });
            }
        }
    }
}

/// Whether an accept failed because that client went away already.
fn is_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
