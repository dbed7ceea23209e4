use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use nexios::observe::{self, Observing};
#[cfg(feature = "jobs")]
use nexios_jobs::Jobs;
use tokio::net::{TcpListener, ToSocketAddrs};

#[cfg(feature = "prometheus")]
use crate::metrics::Metrics;
use crate::{
    access::Way, events::Feed, life::Known, pages::Source, settings::Settings, store::Store,
};

/// How long the last answers may take after the service has stopped.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// The page, its API, its events and its metrics. Observes from [`build`](crate::ConsoleBuilder::build) until the last clone is gone,
/// those in routers among them.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use nexios_console::Console;
/// use tower::ServiceExt;
///
/// let console = Console::builder().loopback().allow_actions().build();
/// let app: Router =
///     Router::new().route("/", get(async || "hello")).nest_service("/nexios", console.router());
/// let request = Request::get("/nexios").header("host", "localhost:8080").body(Body::empty())?;
/// assert_eq!(app.oneshot(request).await?.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Console(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) service: Arc<str>,
    pub(crate) way: Arc<Way>,
    pub(crate) actions: bool,
    pub(crate) store: Arc<Store>,
    pub(crate) life: Arc<Known>,
    pub(crate) source: Source,
    pub(crate) feed: Arc<Feed>,
    #[cfg(feature = "prometheus")]
    pub(crate) metrics: Metrics,
    /// Ends with the last clone, and the last router.
    pub(crate) observing: Arc<Observing>,
}

impl Console {
    pub(crate) fn new(way: Way, settings: Settings) -> Self {
        let service: Arc<str> = settings.service.unwrap_or_else(executable).into();
        let store = Arc::new(Store::new(settings.memory));
        let life = Arc::new(Known::new(settings.app));
        let observing = observe::observe(store.clone());
        store.told_since(observing.since());
        let source = Source {
            store: store.clone(),
            jobs: Arc::default(),
            life: life.clone(),
            service: service.clone(),
            #[cfg(test)]
            probe: None,
        };
        Self(Arc::new(Inner {
            feed: Arc::new(Feed::new(source.clone())),
            source,
            service,
            way: Arc::new(way),
            actions: settings.actions,
            store,
            life,
            #[cfg(feature = "prometheus")]
            metrics: Metrics::new(),
            observing: Arc::new(observing),
        }))
    }

    /// Shows the jobs of this store, of whatever machine, on the page of background work, from now on.
    ///
    /// At any time: a service that opens its store in a startup hook has built its console before. Given a second
    /// store, it shows that one instead. The console asks it while somebody looks, once a second and a tenth of the time at most, and keeps it open until the
    /// last clone of the console is gone; whoever looks and a store that is away hold nothing up, not even the service's end.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{body::{Body, to_bytes}, http::Request};
    /// use nexios_console::Console;
    /// use nexios_jobs::{Jobs, Kind};
    /// use tower::ServiceExt;
    ///
    /// const SEND: Kind<String> = Kind::new("send newsletter");
    ///
    /// let console = Console::builder().dangerously_public().build();
    /// let jobs = Jobs::memory(); // or Jobs::open("sqlite:data/jobs.db").await?
    /// console.show_jobs(&jobs);
    /// jobs.enqueue(SEND, &"ada@example.org".to_owned()).await?;
    /// let response = console.router().oneshot(Request::get("/background").body(Body::empty())?).await?;
    /// let html = to_bytes(response.into_body(), usize::MAX).await?;
    /// assert!(String::from_utf8_lossy(&html).contains("send newsletter"));
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "jobs")]
    pub fn show_jobs(&self, jobs: &Jobs) {
        self.0.source.jobs.show(jobs.clone());
    }

    /// Serves the page on a listener of its own.
    ///
    /// With [`loopback`](crate::ConsoleBuilder::loopback) the address must be one of this machine. It returns after the service of
    /// `ConsoleBuilder::app` has stopped, else never.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios_console::Console;
    ///
    /// let console = Console::builder().loopback().build();
    /// let refused = console.clone().serve("0.0.0.0:0").await; // others could reach it
    /// assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    /// tokio::spawn(console.serve("127.0.0.1:0")); // or "127.0.0.1:9090"
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If it cannot listen there; with [`loopback`](crate::ConsoleBuilder::loopback) also [`io::ErrorKind::InvalidInput`] for an address
    /// that others can reach.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with its clock and I/O enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the listener; answers that are under way go on.
    pub async fn serve(self, address: impl ToSocketAddrs) -> io::Result<()> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(address).await?.collect();
        for address in &addresses {
            self.check(*address)?;
        }
        self.serve_on(TcpListener::bind(&*addresses).await?).await
    }

    /// The same with a listener that is there already.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios_console::Console;
    /// use tokio::net::TcpListener;
    /// # use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpStream};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let address = listener.local_addr()?; // where a test finds it
    /// let console = Console::builder().loopback().build();
    /// tokio::spawn(console.serve_on(listener));
    /// # let mut client = TcpStream::connect(address).await?;
    /// # let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    /// # client.write_all(request.as_bytes()).await?;
    /// # let mut answer = String::new();
    /// # client.read_to_string(&mut answer).await?;
    /// assert!(answer.starts_with("HTTP/1.1 200 OK")); // of GET /
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// With [`loopback`](crate::ConsoleBuilder::loopback) [`io::ErrorKind::InvalidInput`] if others can reach it.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with its clock and I/O enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the listener; answers that are under way go on.
    pub async fn serve_on(self, listener: TcpListener) -> io::Result<()> {
        self.check(listener.local_addr()?)?;
        let service = self
            .router()
            .into_make_service_with_connect_info::<SocketAddr>();
        let life = self.0.life.clone();
        let stopped = async move { life.stopped().await };
        let serving = axum::serve(listener, service).with_graceful_shutdown(stopped);
        let life = self.0.life.clone();
        tokio::select! {
            served = serving => served,
            // Whoever does not read its last answer is not waited for.
            () = async { life.stopped().await; tokio::time::sleep(LAST_ANSWERS).await } => Ok(()),
        }
    }

    fn check(&self, address: SocketAddr) -> io::Result<()> {
        if matches!(*self.0.way, Way::Loopback) && !address.ip().to_canonical().is_loopback() {
            let why =
                format!("loopback() is for this machine only, and others can reach {address}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(())
    }
}

/// The name of the program.
fn executable() -> String {
    let path = std::env::current_exe().ok();
    let name = path.as_ref().and_then(|path| path.file_stem());
    name.map_or_else(
        || "service".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("service", &self.0.service)
            .field("access", &self.0.way)
            .field("actions", &self.0.actions)
            .finish_non_exhaustive()
    }
}
