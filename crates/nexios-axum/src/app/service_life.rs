use std::{convert::Infallible, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use futures_util::Stream;
use nexios::CancelToken;

use super::{
    life::{ConnectionLife, Life},
    phase::Phase,
};
use crate::stream::until_cancelled;

/// The life of the service, as a handler sees it: when streams and sockets should end.
///
/// An event stream never ends by itself, so it would hold up the shutdown until it is cut off; a WebSocket
/// leaves its connection, so nobody would wait for it. [`until_closing`](Self::until_closing) ends the one,
/// [`track`](Self::track) counts the other. Outside a [`NexiosApp`](crate::NexiosApp) it is a life without end.
///
/// It is an extension of every request that a `NexiosApp` serves, so whoever has the request has it too: a layer, or a
/// service that knows no extractors.
///
/// # Examples
///
/// ```
/// use std::{convert::Infallible, time::Duration};
/// use axum::{Router, response::{Sse, sse::Event}, routing::get};
/// use futures_util::{Stream, stream};
/// use nexios_axum::ServiceLife;
///
/// async fn ticks(life: ServiceLife) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
///     let ticks = stream::unfold(0, |tick| async move {
///         tokio::time::sleep(Duration::from_secs(1)).await;
///         Some((Ok(Event::default().data(tick.to_string())), tick + 1))
///     });
///     Sse::new(life.until_closing(ticks))
/// }
///
/// let app: Router = Router::new().route("/ticks", get(ticks));
/// ```
///
/// A service of tonic's, whose requests carry the extensions along:
///
/// ```
/// # struct Request<T>(axum::http::Extensions, std::marker::PhantomData<T>);
/// # impl<T> Request<T> { fn extensions(&self) -> &axum::http::Extensions { &self.0 } }
/// # struct Response<T>(T);
/// # impl<T> Response<T> { fn new(stream: T) -> Self { Response(stream) } }
/// # struct Status;
/// # impl Status { fn internal(_: &str) -> Self { Status } }
/// # struct WatchRequest;
/// # struct News;
/// # fn news() -> impl Stream<Item = Result<News, Status>> + Send + 'static { futures_util::stream::empty() }
/// use std::pin::Pin;
/// use futures_util::Stream;
/// use nexios_axum::ServiceLife;
///
/// type NewsStream = Pin<Box<dyn Stream<Item = Result<News, Status>> + Send>>;
///
/// // `Request`, `Response` and `Status` are tonic's.
/// async fn watch(request: Request<WatchRequest>) -> Result<Response<NewsStream>, Status> {
///     let life = request.extensions().get::<ServiceLife>().ok_or(Status::internal("no NexiosApp"))?;
///     Ok(Response::new(Box::pin(life.until_closing(news()))))
/// }
/// ```
#[derive(Debug, Clone)]
pub struct ServiceLife {
    pub(crate) life: Arc<ConnectionLife>,
}

impl ServiceLife {
    pub(crate) fn new(life: Arc<Life>) -> Self {
        ServiceLife {
            life: Arc::new(ConnectionLife(life)),
        }
    }

    /// Fires with [`CancelReason::Shutdown`](nexios::CancelReason::Shutdown) when streams and sockets should end:
    /// after the time in which the service still accepts, well before anything is cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, routing::get};
    /// use nexios::CancelReason;
    /// use nexios_axum::{NexiosApp, ServiceLife};
    ///
    /// # static ASKED: tokio::sync::Notify = tokio::sync::Notify::const_new();
    /// async fn long_poll(life: ServiceLife) -> &'static str {
    /// #   ASKED.notify_one();
    ///     let closing = life.closing();
    ///     tokio::select! {
    ///         () = std::future::pending() => "news",
    ///         _ = closing.cancelled() => "ask again, somebody else", // an answer, and no 503
    ///     }
    /// }
    ///
    /// let app = NexiosApp::new(Router::new().route("/", get(long_poll))).accepting(Duration::ZERO);
    /// let handle = app.handle();
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// let asked = tokio::spawn(reqwest::get(address.to_string()));
    /// # ASKED.notified().await;
    /// handle.stop();
    /// assert_eq!(asked.await??.text().await?, "ask again, somebody else");
    /// assert!(service.await??.is_clean());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn closing(&self) -> CancelToken {
        self.life.closing.clone()
    }

    /// Where the service is in its life.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, routing::get};
    /// use nexios_axum::{NexiosApp, ServiceLife};
    ///
    /// let status = async |life: ServiceLife| life.phase().as_str();
    /// let app = NexiosApp::new(Router::new().route("/status", get(status)));
    /// let handle = app.handle();
    /// tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// assert_eq!(reqwest::get(format!("{address}/status")).await?.text().await?, "ready");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.life.phase()
    }

    /// Passes `stream` on until the service closes, then ends.
    ///
    /// A last item can be chained to it, such as an event that says goodbye.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::{Router, body::Body, routing::get};
    /// use futures_util::{StreamExt, stream};
    /// use nexios_axum::{NexiosApp, ServiceLife};
    ///
    /// async fn news(life: ServiceLife) -> Body {
    ///     let news = stream::iter(["hello\n"]).chain(stream::pending()); // and more later
    ///     let lines = life.until_closing(news).chain(stream::iter(["goodbye\n"]));
    ///     Body::from_stream(lines.map(Ok::<_, std::io::Error>))
    /// }
    ///
    /// let app = NexiosApp::new(Router::new().route("/", get(news))).accepting(Duration::ZERO);
    /// let handle = app.handle();
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// let address = handle.ready().await.ok_or("it did not start")?;
    /// let answer = reqwest::get(address.to_string()).await?;
    /// handle.stop();
    /// assert_eq!(answer.text().await?, "hello\ngoodbye\n");
    /// assert!(service.await??.cut_off.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn until_closing<S: Stream>(&self, stream: S) -> impl Stream<Item = S::Item> + use<S> {
        until_cancelled(&self.life.closing, stream)
    }
}

impl<S: Sync> FromRequestParts<S> for ServiceLife {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let life = parts.extensions.get::<ServiceLife>().cloned();
        Ok(life.unwrap_or_else(|| ServiceLife::new(Arc::new(Life::new()))))
    }
}
