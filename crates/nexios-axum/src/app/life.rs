//! What all parts of a service know about its life.

use std::{
    borrow::Cow,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use nexios::{CancelReason, CancelToken};
use tokio::sync::watch;

use super::{
    connection_control::{Order, Unfinished},
    connections::Connections,
    listener::ListenAddress,
    phase::Phase,
    register::Register,
};

/// Shared by the service, its handle, its connections and its handlers.
#[derive(Debug)]
pub(crate) struct Life {
    /// The current phase; what follows from it for a response, its connection is told by an order.
    phase: watch::Sender<Phase>,
    /// How often somebody asked for the end.
    stops: watch::Sender<Stops>,
    /// Fires with `Closing`: streams and sockets end, the listener closes.
    pub(crate) closing: CancelToken,
    /// Fires with `Cancelling`: the token above those of all requests and sockets.
    pub(crate) cancelling: CancelToken,
    /// Fires when what is left is dropped.
    pub(crate) aborting: CancelToken,
    pub(crate) connections: Connections,
    /// WebSockets and what else has left its connection, by name.
    pub(crate) sockets: Register<Cow<'static, str>>,
    /// Set before `Ready`.
    address: OnceLock<ListenAddress>,
}

/// The life as the requests of one connection share it: they count references to this, and those of different
/// connections none together.
#[derive(Debug)]
pub(crate) struct ConnectionLife(pub(crate) Arc<Life>);

impl Deref for ConnectionLife {
    type Target = Arc<Life>;

    fn deref(&self) -> &Arc<Life> {
        &self.0
    }
}

/// How often somebody asked for the end, and who was the first.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stops {
    pub(crate) count: u32,
    pub(crate) cause: Option<&'static str>,
}

impl Life {
    pub(crate) fn new() -> Self {
        Life {
            phase: watch::Sender::new(Phase::Starting),
            stops: watch::Sender::new(Stops::default()),
            closing: CancelToken::new(),
            cancelling: CancelToken::new(),
            aborting: CancelToken::new(),
            connections: Connections::default(),
            sockets: Register::default(),
            address: OnceLock::new(),
        }
    }

    /// A life beside this one, in the same phases; all that ends has an end of its own.
    pub(crate) fn beside(&self) -> Self {
        Life {
            phase: self.phase.clone(),
            ..Life::new()
        }
    }

    /// Ends what is left, at once.
    pub(crate) fn end(&self) {
        for token in [&self.closing, &self.cancelling, &self.aborting] {
            token.cancel(CancelReason::Shutdown);
        }
        self.connections.tell(Order::Abort);
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(crate) fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Goes to a later phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase
            .send_if_modified(|now| std::mem::replace(now, phase.max(*now)) < phase);
    }

    /// Asks for the end; each further time hurries it.
    pub(crate) fn stop(&self, cause: &'static str) {
        self.stops.send_modify(|stops| {
            stops.count = stops.count.saturating_add(1);
            stops.cause.get_or_insert(cause);
        });
    }

    pub(crate) fn stops(&self) -> watch::Receiver<Stops> {
        self.stops.subscribe()
    }

    /// Asks for the end, unless somebody has already.
    pub(crate) fn stop_once(&self, cause: &'static str) {
        self.stops.send_if_modified(|stops| {
            let first = stops.count == 0;
            if first {
                *stops = Stops {
                    count: 1,
                    cause: Some(cause),
                };
            }
            first
        });
    }

    /// The requests, streams and sockets that have not ended.
    pub(crate) fn unfinished(&self) -> Unfinished {
        let mut unfinished = self.connections.unfinished();
        unfinished.work.extend(
            self.sockets
                .values()
                .iter()
                .map(|name| format!("socket {name}")),
        );
        unfinished
    }

    pub(crate) fn set_address(&self, address: ListenAddress) {
        // Only the first call counts, and there is only one.
        let _ = self.address.set(address);
    }

    pub(crate) fn address(&self) -> Option<ListenAddress> {
        self.address.get().cloned()
    }
}

/// Ends what is left when the service is over, or is dropped with its future or before it was served.
#[derive(Debug)]
pub(crate) struct EndOnDrop(pub(crate) Arc<Life>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let EndOnDrop(life) = self;
        life.end();
        life.enter(Phase::Stopped);
    }
}
