//! The service at work: start, serve, end.

use std::{
    convert::Infallible,
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{Either, join, select};
use nexios::Background;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use super::{
    AppRequests, NexiosApp, StopOn,
    accept::Door,
    connection::Server,
    error::ServeError,
    hooks::Hook,
    life::{Life, Stops},
    listener::{Listen, ListenAddress, open},
    phase::Phase,
    places::Places,
    report::ShutdownReport,
    shutdown::{Shutdown, WatchedRequests},
    shutdown_limits::Limits,
    signals::Signals,
    watchdog,
};
use crate::{log::log, panic::message, punctual::punctual, request::RequestLayer};

/// How long what is idle, such as a schedule between two runs, may take to end by itself after a failed start.
const IDLE_ENDS: Duration = Duration::from_millis(200);

impl NexiosApp {
    /// Serves until a signal, [`AppHandle::stop`](crate::AppHandle::stop) or [`stop_on`](Self::stop_on), then ends
    /// in order.
    ///
    /// Handlers find the client's address in `ConnectInfo<SocketAddr>`, or `ConnectInfo<UCred>` (tokio's) for a
    /// Unix socket. HTTP/1 and HTTP/2 are spoken, without TLS unless the [listener](Listen) does that.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, routing::get};
    /// use nexios_axum::NexiosApp;
    ///
    /// let app = NexiosApp::new(Router::new().route("/", get(async || "hello"))).accepting(Duration::ZERO);
    /// let handle = app.handle();
    /// let service = tokio::spawn(app.serve("127.0.0.1:0")); // in `main`: app.serve("0.0.0.0:8080").await
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// assert_eq!(reqwest::get(address.to_string()).await?.text().await?, "hello");
    /// handle.stop();
    /// assert!(service.await??.abandoned.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A startup hook failed, an address cannot be listened on, or signals cannot be listened for. Told to
    /// stop before it was ready, it returns a report and no error.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with its clock and I/O enabled, and if a route of the router, or of one of
    /// [`admin`](Self::admin), is in the place of a health route.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the listener and all connections at once; background tasks go on.
    pub async fn serve<Kind>(
        mut self,
        listen: impl Listen<Kind>,
    ) -> Result<ShutdownReport, ServeError> {
        let life = self.life.clone();
        let _end = self.end.take();
        watchdog::guard(&life, self.limits, self.signals);
        let signals = self
            .signals
            .then(Signals::listen)
            .transpose()
            .map_err(ServeError::Signals)?;
        let obey = pin!(obey(signals, std::mem::take(&mut self.stop_on), &life));
        let end = match select(obey, pin!(self.looked_after(listen))).await {
            Either::Left((never, _)) => match never {},
            Either::Right((end, _)) => end,
        };
        if let Ok(report) = &end {
            report.log();
        }
        end
    }

    /// Lives between the opening of the admins' listeners and their closing.
    async fn looked_after<Kind>(
        mut self,
        listen: impl Listen<Kind>,
    ) -> Result<ShutdownReport, ServeError> {
        let admins = self.open_admins().await?;
        let end = self.live(listen).await;
        admins
            .close(
                end.as_ref()
                    .map_or_else(|_| Instant::now(), |report| report.end),
            )
            .await;
        end
    }

    async fn live<Kind>(mut self, listen: impl Listen<Kind>) -> Result<ShutdownReport, ServeError> {
        // Workers of durable jobs stand beside the registry, not in its place.
        if self
            .backgrounds
            .iter()
            .all(|part| part.registry().is_none())
        {
            self.backgrounds
                .push(Arc::new(Background::global().clone()));
        }
        let mut stops = self.life.stops();
        let startup = std::mem::take(&mut self.startup);
        let started = match select(pin!(stopped(&mut stops)), pin!(start(startup, listen))).await {
            Either::Left(_) => Ok(None),
            Either::Right((started, _)) => started.map(Some),
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
        // Both have others' code in their turns, and all of ours that ends them is punctual.
        let ((), report) = join(door.stand_open(listener), end).await;
        Ok(report)
    }

    /// Sees to it that every request hears of the end, and can be waited for.
    fn watch_requests(&mut self) -> WatchedRequests {
        let own = AppRequests::Own(RequestLayer::new());
        match std::mem::replace(&mut self.requests, own) {
            AppRequests::Router(requests, cancelling) => WatchedRequests {
                requests,
                cancelling,
            },
            AppRequests::Own(layer) => {
                let mut layer = layer.shutdown(self.life.cancelling.clone());
                let mut backgrounds = self.backgrounds.iter();
                if let Some(background) = backgrounds.find_map(|part| part.registry()) {
                    layer = layer.background(background.clone());
                }
                let requests = layer.requests();
                self.router = std::mem::take(&mut self.router).layer(layer);
                WatchedRequests {
                    requests,
                    cancelling: self.life.cancelling.clone(),
                }
            }
        }
    }

    /// Ends a service that never served: there is nothing to wait for but what its hooks have started.
    async fn cut_short(
        mut self,
        requests: WatchedRequests,
        stops: watch::Receiver<Stops>,
    ) -> ShutdownReport {
        // What is to be waited for, and no longer than for a whole shutdown.
        let (cancelling, hooks) = (self.limits.cancelling(), self.limits.hooks());
        self.limits = Limits {
            total: cancelling.saturating_add(hooks).min(self.limits.total),
            accepting: Duration::ZERO,
            cancelling: Some(cancelling),
            // No hook will run: their time has a moment to spare.
            hooks: Some(hooks.saturating_sub(IDLE_ENDS)),
        };
        self.into_shutdown(requests).run(Vec::new(), stops).await
    }

    /// Lets clients in from now on.
    fn open(&mut self, address: ListenAddress) -> Door {
        let mut router = std::mem::take(&mut self.router);
        for outer in self.outer.drain(..) {
            router = outer(router);
        }
        // Layers are put around the routes here; without a state, axum would do it anew for every request.
        let router = self.health.add_to(router, &self.life).with_state(());
        let health = self.health.alone(&self.life).with_state(());
        let server = Server::new(self.life.clone(), router, health, self.head, self.silence);
        log(|| tracing::info!(%address, "listening"));
        self.life.set_address(address.clone());
        self.life.enter(Phase::Ready);
        if let Some(tell) = self.listening.take()
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| tell(&address)))
        {
            let cause = message(panic);
            log(|| tracing::error!(cause, "`on_listening` panicked"));
        }
        let places = Places::new(self.connections, self.connections_per_peer);
        Door::new(Arc::new(server), places, self.silence)
    }

    fn into_shutdown(self, requests: WatchedRequests) -> Shutdown {
        let NexiosApp {
            life,
            limits,
            backgrounds,
            strict,
            ..
        } = self;
        Shutdown {
            life,
            limits,
            requests,
            backgrounds,
            strict,
        }
    }
}

/// Stops the service with each signal, and with the first of these futures.
async fn obey(mut signals: Option<Signals>, stop_on: Vec<StopOn>, life: &Life) -> Infallible {
    // Tasks, so that none of them is polled beside what they end; the set aborts them when it is dropped.
    let mut futures: JoinSet<()> = stop_on.into_iter().collect();
    loop {
        match select(
            pin!(punctual(next(&mut signals))),
            pin!(punctual(next_end(&mut futures))),
        )
        .await
        {
            Either::Left((signal, _)) => life.stop(signal),
            Either::Right((end, _)) => {
                if let Err(panic) = end.map_err(JoinError::try_into_panic) {
                    let cause = panic.map(message).unwrap_or_default();
                    log(|| tracing::error!(cause, "a future of `stop_on` panicked"));
                }
                life.stop_once("a future of `stop_on` ended");
            }
        }
    }
}

async fn next_end(futures: &mut JoinSet<()>) -> Result<(), JoinError> {
    match futures.join_next().await {
        Some(end) => end,
        None => pending().await,
    }
}

async fn next(signals: &mut Option<Signals>) -> &'static str {
    match signals {
        Some(signals) => signals.next().await,
        None => pending().await,
    }
}

/// Waits until somebody has asked for the end.
async fn stopped(stops: &mut watch::Receiver<Stops>) {
    // Never an error: the sender lives as long as the service.
    let _ = punctual(stops.wait_for(|stops| stops.count > 0)).await;
}

/// Runs the hooks, then opens the listener.
async fn start<Kind, L: Listen<Kind>>(
    hooks: Vec<Hook>,
    listen: L,
) -> Result<(L::Listener, ListenAddress), ServeError> {
    for hook in hooks {
        let name = hook.name.clone();
        log(|| tracing::info!(hook = %name, "starting"));
        hook.run()
            .await
            .map_err(|cause| ServeError::startup(name, cause))?;
    }
    open(listen).await
}
