//! The service at work: start, serve, end.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use futures_util::future::join;
use nexios::{Background, CancelReason};
use tokio::sync::{Semaphore, watch};

use super::{
    AppRequests, NexiosApp,
    accept::Door,
    connection::Server,
    connections::Order,
    hooks::Hook,
    life::{Life, Stops},
    limits::Limits,
    listener::{Bound, Listen, ListenAddress},
    phase::Phase,
    report::{ServeError, ShutdownReport},
    shutdown::{Shutdown, Watched},
    signals::Signals,
    watchdog,
};
use crate::RequestLayer;

impl NexiosApp {
    /// Serves until a signal or [`AppHandle::stop`](crate::AppHandle::stop), then ends in order.
    ///
    /// Handlers find the client's address in `ConnectInfo<SocketAddr>`, or `ConnectInfo<UCred>` (tokio's) for a
    /// Unix socket. HTTP/1 and HTTP/2 without TLS are spoken.
    ///
    /// # Errors
    ///
    /// A startup hook failed, the address cannot be listened on, or signals cannot be listened for. Told to
    /// stop before it was ready, it returns a report and no error.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with its clock and I/O enabled, and if a route of the router is in the
    /// place of a health route.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the listener and all connections at once; background tasks go on.
    pub async fn serve(self, listen: impl Listen) -> Result<ShutdownReport, ServeError> {
        let life = self.life.clone();
        let _end = EndOnDrop(life.clone());
        watchdog::guard(&life, self.limits, self.signals);
        let signals = self.signals.then(Signals::listen).transpose().map_err(ServeError::Signals)?;
        tokio::select! {
            biased;
            never = obey(signals, &life) => match never {},
            end = self.live(listen) => {
                if let Ok(report) = &end {
                    report.log();
                }
                end
            }
        }
    }

    async fn live(mut self, listen: impl Listen) -> Result<ShutdownReport, ServeError> {
        if self.backgrounds.is_empty() {
            self.backgrounds.push(Background::global().clone());
        }
        let mut stops = self.life.stops();
        let startup = std::mem::take(&mut self.startup);
        let started = tokio::select! {
            biased;
            () = stopped(&mut stops) => Ok(None),
            started = start(startup, listen) => started.map(Some),
        };
        let requests = self.watch_requests();
        let (listener, address) = match started {
            Ok(Some(listening)) => listening,
            Ok(None) => return Ok(self.cut_short(requests, stops).await),
            Err(error) => {
                self.cut_short(requests, stops).await;
                return Err(error);
            }
        };
        let door = self.open(address);
        let hooks = std::mem::take(&mut self.shutdown);
        let end = async {
            stopped(&mut stops).await;
            self.into_shutdown(requests).run(hooks, stops).await
        };
        let ((), report) = join(door.stand_open(listener), end).await;
        Ok(report)
    }

    /// Sees to it that every request hears of the end, and can be waited for.
    fn watch_requests(&mut self) -> Watched {
        let own = AppRequests::Own(RequestLayer::new());
        match std::mem::replace(&mut self.requests, own) {
            AppRequests::Router(requests, cancelling) => Watched { requests, cancelling },
            AppRequests::Own(layer) => {
                let mut layer = layer.shutdown(self.life.cancelling.clone());
                if let Some(background) = self.backgrounds.first() {
                    layer = layer.background(background.clone());
                }
                let requests = layer.requests();
                self.router = std::mem::take(&mut self.router).layer(layer);
                Watched { requests, cancelling: self.life.cancelling.clone() }
            }
        }
    }

    /// Ends a service that never served: there is nothing to wait for but what its hooks have started.
    async fn cut_short(mut self, requests: Watched, stops: watch::Receiver<Stops>) -> ShutdownReport {
        let total = self.limits.cancelling.saturating_add(self.limits.hooks);
        self.limits = Limits { accepting: Duration::ZERO, total, ..self.limits };
        self.into_shutdown(requests).run(Vec::new(), stops).await
    }

    /// Lets clients in from now on.
    fn open(&mut self, address: ListenAddress) -> Door {
        let router = self.health.add_to(std::mem::take(&mut self.router), &self.life);
        let server = Arc::new(Server::new(self.life.clone(), router, self.head));
        tracing::info!(%address, "listening");
        self.life.set_address(address.clone());
        self.life.enter(Phase::Ready);
        if let Some(tell) = self.listening.take() {
            tell(&address);
        }
        Door { server, places: Arc::new(Semaphore::new(self.connections)), silence: self.silence }
    }

    fn into_shutdown(self, requests: Watched) -> Shutdown {
        Shutdown { life: self.life, limits: self.limits, requests, backgrounds: self.backgrounds }
    }
}

/// Stops the service with each signal.
async fn obey(signals: Option<Signals>, life: &Life) -> Infallible {
    let Some(mut signals) = signals else { return pending().await };
    loop {
        life.stop(signals.next().await);
    }
}

/// Waits until somebody has asked for the end.
async fn stopped(stops: &mut watch::Receiver<Stops>) {
    // Never an error: the sender lives as long as the service.
    let _ = stops.wait_for(|stops| stops.count > 0).await;
}

/// Runs the hooks, then opens the listener.
async fn start(hooks: Vec<Hook>, listen: impl Listen) -> Result<(Bound, ListenAddress), ServeError> {
    for hook in hooks {
        let name = hook.name.clone();
        tracing::info!(hook = %name, "starting");
        hook.run().await.map_err(|cause| ServeError::startup(name, cause))?;
    }
    let asked = listen.describe();
    let listening = async {
        let listener = listen.listen().await?;
        let address = listener.address()?;
        Ok((listener, address))
    };
    listening.await.map_err(|cause| ServeError::Listen { address: asked, cause })
}

/// Ends what is left when the service is over, or its future dropped.
struct EndOnDrop(Arc<Life>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let EndOnDrop(life) = self;
        for token in [&life.closing, &life.cancelling, &life.aborting] {
            token.cancel(CancelReason::Shutdown);
        }
        life.connections.tell(Order::Abort);
        life.enter(Phase::Stopped);
    }
}
