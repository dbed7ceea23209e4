//! The answers that are given in place of a handler's, in the words that the client understands.

pub(crate) mod grpc;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use axum::{
    http::{HeaderMap, HeaderValue, Method, Request, Uri, header},
    response::{IntoResponse, Response},
};

use crate::{log::log, problem::Problem};

/// How the app shows answers that are not its own.
pub(crate) type Render = Arc<dyn Fn(&OwnAnswer<'_>) -> Option<Response> + Send + Sync>;

/// An answer that [`RequestLayer`](crate::RequestLayer) or [`ShedLayer`](crate::ShedLayer) gives in place of a
/// handler's, for [`RequestLayer::render`](crate::RequestLayer::render) to show.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::{Body, to_bytes}, http::Request, response::IntoResponse, routing::get};
/// use nexios_axum::{OwnAnswer, RequestLayer};
/// use tower::ServiceExt;
///
/// fn in_plain_words(answer: &OwnAnswer<'_>) -> Option<axum::response::Response> {
///     let text = answer.problem().text()?;
///     Some(format!("{} {}: {text}", answer.method(), answer.uri()).into_response())
/// }
///
/// let app: Router = Router::new()
///     .route("/", get(async || -> &'static str { panic!("a bug") }))
///     .layer(RequestLayer::new().render(in_plain_words));
/// let response = app.oneshot(Request::new(Body::empty())).await?;
/// assert_eq!(response.status(), 500);
/// let body = to_bytes(response.into_body(), 1024).await?;
/// assert_eq!(&body[..], b"GET /: The fault is ours and has been logged.");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct OwnAnswer<'a> {
    problem: &'a Problem,
    head: &'a Head,
}

/// What the app may look at of the request.
pub(crate) struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl OwnAnswer<'_> {
    /// What is the matter: 504 for a deadline, 503 for the shutdown and for a pool that is behind, 500 for a panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::RequestLayer;
    ///
    /// // Only the pages of an overload are our own; the others stay problems.
    /// let layer = RequestLayer::new().render(|answer| {
    ///     let busy = answer.problem().status() == 503;
    ///     busy.then(|| axum::response::Response::new("Please come back in a minute.".into()))
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use = "it says what is to be shown"]
    pub fn problem(&self) -> &Problem {
        self.problem
    }

    /// The method of the request.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::response::Response;
    /// use nexios_axum::RequestLayer;
    ///
    /// // Whoever asks for the head alone gets no page.
    /// let layer = RequestLayer::new()
    ///     .render(|answer| (answer.method() != "HEAD").then(|| Response::new("<h1>Sorry</h1>".into())));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// The address of the request.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::response::Response;
    /// use nexios_axum::RequestLayer;
    ///
    /// // Problems for the API, a page for the rest.
    /// let layer = RequestLayer::new()
    ///     .render(|answer| (!answer.uri().path().starts_with("/api/")).then(|| Response::new("<h1>Sorry</h1>".into())));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.head.uri
    }

    /// The headers of the request, as they came.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::response::Response;
    /// use nexios_axum::RequestLayer;
    ///
    /// let layer = RequestLayer::new().render(|answer| {
    ///     let german = answer.headers().get("accept-language")?.to_str().ok()?.starts_with("de");
    ///     german.then(|| Response::new("Das hat nicht geklappt.".into()))
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }
}

impl fmt::Debug for OwnAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnAnswer")
            .field("problem", &self.problem)
            .field("method", self.method())
            .field("uri", self.uri())
            .finish_non_exhaustive()
    }
}

/// How a client understands answers.
pub(crate) enum Asker {
    /// By its status, with a problem as its body.
    Http,
    /// A gRPC client, by `grpc-status`: it takes any status but 200 for a proxy's, and a 504 for a server that is away.
    Grpc(HeaderValue),
    /// As the app says, who looks at the request for it.
    App(Box<Head>),
}

impl Asker {
    pub(crate) fn of<B>(request: &Request<B>, render: Option<&Render>) -> Self {
        // All gRPC calls are POST, and most requests are not.
        if request.method() == Method::POST
            && let Some(answer) = request
                .headers()
                .get(header::CONTENT_TYPE)
                .and_then(grpc::content_type)
        {
            return Asker::Grpc(answer);
        }
        match render {
            None => Asker::Http,
            Some(_) => Asker::App(Box::new(Head {
                method: request.method().clone(),
                uri: request.uri().clone(),
                headers: request.headers().clone(),
            })),
        }
    }

    pub(crate) fn is_grpc(&self) -> bool {
        matches!(self, Asker::Grpc(_))
    }

    pub(crate) fn answer(&self, problem: Problem, render: Option<&Render>) -> Response {
        match (self, render) {
            (Asker::Grpc(content_type), _) => grpc::answer(content_type, &problem),
            (Asker::App(head), Some(render)) => {
                let shown = shown(
                    render,
                    &OwnAnswer {
                        problem: &problem,
                        head,
                    },
                );
                let own = problem.into_response();
                match shown {
                    Some(shown) => dressed(own, shown),
                    None => own,
                }
            }
            _ => problem.into_response(),
        }
    }
}

/// Asks the app. One that panics is not asked twice, and the client gets what it would get without it.
fn shown(render: &Render, answer: &OwnAnswer<'_>) -> Option<Response> {
    let shown = catch_unwind(AssertUnwindSafe(|| render(answer)));
    shown.unwrap_or_else(|panic| {
        log(|| {
            drop(panic);
            tracing::error!(
                status = answer.problem.status().as_u16(),
                "rendering an answer panicked"
            );
        });
        None
    })
}

/// What the app shows, with what clients and proxies act upon.
fn dressed(own: Response, mut shown: Response) -> Response {
    *shown.status_mut() = own.status();
    for name in [header::RETRY_AFTER, header::CONNECTION] {
        if let Some(value) = own.headers().get(&name)
            && !shown.headers().contains_key(&name)
        {
            shown.headers_mut().insert(name, value.clone());
        }
    }
    shown
}
