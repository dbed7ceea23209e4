//! Further listeners, for those who look after the service.
//!
//! # Invariants
//!
//! 1. One is open from before the first startup hook until all else has ended, so its life is one of its own; only the phase
//!    is the service's.
//! 2. Nothing of it is counted as the service's, and nobody waits for it longer than [`LAST_ANSWERS`].

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use axum::Router;
use futures_util::future::{join_all, join3};
use nexios::CancelReason;
use tokio::{
    task::{JoinSet, yield_now},
    time::{Instant, timeout},
};

use super::{
    NexiosApp,
    accept::Door,
    connection::Server,
    connection_control::Order,
    error::ServeError,
    life::Life,
    listener::{Listen, open},
    places::Places,
};
use crate::{
    log::log,
    punctual::punctual,
    request::{RequestLayer, Requests},
};

/// So many connections may be open: probes, scrapers and a few people.
const CONNECTIONS: usize = 256;

/// How long the last answers may take after all else has ended: at least, if that has used up its time, and at most.
const LAST_ANSWERS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Opens a listener; what it gives lets clients in.
type Open = Box<dyn FnOnce(Door) -> Boxed<Result<Boxed<()>, ServeError>> + Send>;

/// A router, and the listener that it will have.
pub(super) struct Admin {
    router: Router,
    open: Open,
}

impl NexiosApp {
    /// Serves another router on a listener of its own, for those who look after the service: health, metrics, a console. Each
    /// call adds one.
    ///
    /// It is open before the first startup hook, so readiness can be asked there while the service starts; and it is the last to
    /// close: it goes on until requests, tasks and shutdown hooks have ended, and half a second longer for its last answers.
    /// What is open then, such as a stream of events, is cut off, and is no failure.
    ///
    /// Health routes answer there too. The router gets a [`RequestLayer`] of its own with its defaults, so its requests have lines in
    /// the access log unless [`WithoutAccessLog`](crate::WithoutAccessLog) is around it, and none of the layers of
    /// [`outer`](Self::outer). Its requests and connections are not counted as the service's, and hold nothing up. The
    /// [`ServiceLife`](crate::ServiceLife) in them has the service's phase, while its
    /// [`closing`](crate::ServiceLife::closing) fires when this listener closes. At most 256 connections may be open.
    ///
    /// Whoever can reach the address can ask whatever the router answers: bind it to an address that only you reach.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, routing::get};
    /// use nexios_axum::NexiosApp;
    /// use tokio::net::TcpListener;
    ///
    /// let admins = TcpListener::bind("127.0.0.1:0").await?; // or "127.0.0.1:9090"
    /// let admin_address = admins.local_addr()?;
    /// let admin = Router::new().route("/version", get(async || env!("CARGO_PKG_VERSION")));
    /// let app = NexiosApp::new(Router::new().route("/", get(async || "hello"))).admin(admins, admin);
    /// let handle = app.handle();
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// assert_eq!(reqwest::get(format!("http://{admin_address}/version")).await?.status(), 200);
    /// assert_eq!(reqwest::get(format!("http://{admin_address}/readyz")).await?.status(), 200);
    /// assert_eq!(reqwest::get(format!("{address}/version")).await?.status(), 404);
    /// # Ok(())
    /// # }
    /// ```
    pub fn admin<Kind>(mut self, listen: impl Listen<Kind> + 'static, router: Router) -> Self {
        let open = |door: Door| -> Boxed<_> {
            Box::pin(async move {
                let (listener, address) = open(listen).await?;
                log(|| tracing::info!(%address, "listening for admins"));
                let accepting: Boxed<()> = Box::pin(door.stand_open(listener));
                Ok(accepting)
            })
        };
        self.admins.push(Admin {
            router,
            open: Box::new(open),
        });
        self
    }

    /// Opens the listeners of [`admin`](Self::admin).
    pub(super) async fn open_admins(&mut self) -> Result<OpenAdmins, ServeError> {
        let mut open = OpenAdmins(Vec::new());
        for admin in std::mem::take(&mut self.admins) {
            let life = Arc::new(self.life.beside());
            let mut layer = RequestLayer::new().shutdown(life.cancelling.clone());
            if let Some(background) = self.backgrounds.iter().find_map(|part| part.registry()) {
                layer = layer.background(background.clone());
            }
            let requests = layer.requests();
            let router = self.health.add_to(admin.router.layer(layer), &self.life);
            let health = self.health.alone(&self.life).with_state(());
            let router = router.with_state(());
            let server = Server::new(life.clone(), router, health, self.head, self.silence);
            // One peer may take all of them: they are few, and who comes here is known.
            let places = Places::new(CONNECTIONS, Some(CONNECTIONS));
            let door = Door::new(Arc::new(server), places, self.silence);
            let mut accepting = JoinSet::new();
            // A task: hooks are polled where the service is, and may hold it up.
            accepting.spawn((admin.open)(door).await?);
            open.0.push(OpenAdmin {
                life,
                requests,
                _accepting: accepting,
            });
        }
        if !open.0.is_empty() {
            // A new task waits for the thread that has spawned it, and the first hook may hold that one: begun, it waits for clients.
            yield_now().await;
        }
        Ok(open)
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// The listeners of [`NexiosApp::admin`] that are open; dropped, they close at once.
pub(super) struct OpenAdmins(Vec<OpenAdmin>);

impl OpenAdmins {
    /// Closes them when all else has ended; `end` is when all must be over.
    pub(super) async fn close(self, end: std::time::Instant) {
        let [least, most] = LAST_ANSWERS;
        let left = Instant::from_std(end).saturating_duration_since(Instant::now());
        for admin in &self.0 {
            admin.life.closing.cancel(CancelReason::Shutdown);
            admin.life.connections.tell(Order::DropIdle);
        }
        let ended = join_all(self.0.iter().map(|admin| {
            join3(
                admin.life.connections.wait_until_none(),
                admin.life.sockets.wait_until_empty(),
                admin.requests.idle(),
            )
        }));
        // Whoever does not read its last answer is dropped with the rest.
        let _ = punctual(timeout(left.clamp(least, most), ended)).await;
    }
}

struct OpenAdmin {
    life: Arc<Life>,
    requests: Requests,
    /// Lets clients in until it is dropped.
    _accepting: JoinSet<()>,
}

impl Drop for OpenAdmin {
    fn drop(&mut self) {
        self.life.end();
        self.requests.abort_rescued();
    }
}
