//! RFC 9457 problem details as a response.

mod from_error;
#[cfg(feature = "jobs")]
mod from_jobs;
mod from_nexios;
mod from_rejection;
mod incident;
mod wording;

use std::{error::Error, fmt, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

pub use self::from_error::OrInternal;
use crate::{log::log, text::in_short};

/// What a client is told whose request broke off, or is no HTTP any more half-way.
const BROKEN_BODY: &str = "The body of the request ended too early, or cannot be read.";

/// Answers a failed request with `application/problem+json` (RFC 9457).
///
/// A problem says only what it was given: a title from the status, a detail written for the client, and for
/// faults of our own an `id` that the log repeats beside the cause. The cause itself never reaches the body.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::{Body, to_bytes}, extract::Path, http::{Request, StatusCode}, routing::get};
/// use nexios_axum::Problem;
/// use tower::ServiceExt;
///
/// async fn article(Path(id): Path<u64>) -> Result<&'static str, Problem> {
///     match id {
///         0 => Err(Problem::bad_request("ids start at 1")),
///         1 => Ok("the first"),
///         _ => Err(Problem::new(StatusCode::GONE).detail("it was taken down").with("article", id)),
///     }
/// }
///
/// let app: Router = Router::new().route("/{id}", get(article));
/// let response = app.oneshot(Request::get("/7").body(Body::empty())?).await?;
/// let body: serde_json::Value = serde_json::from_slice(&to_bytes(response.into_body(), 1024).await?)?;
/// assert_eq!(body, serde_json::json!({
///     "type": "about:blank", "title": "Gone", "status": 410, "detail": "it was taken down", "article": 7,
/// }));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Problem {
    /// In a box, because a problem travels in the `Err` of every handler and the `Ok` should not pay for it.
    parts: Box<Parts>,
}

#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    kind: Option<String>,
    title: Option<String>,
    detail: Option<String>,
    instance: Option<String>,
    members: Map<String, Value>,
    retry_after: Option<Duration>,
    close: bool,
}

impl Problem {
    /// Makes a problem of a status; its type is `about:blank` and its title the status' own words.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::http::StatusCode;
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::new(StatusCode::PAYMENT_REQUIRED);
    /// assert_eq!(problem.to_string(), "Payment Required");
    /// ```
    pub fn new(status: StatusCode) -> Self {
        let parts = Parts {
            status,
            kind: None,
            title: None,
            detail: None,
            instance: None,
            members: Map::new(),
            retry_after: None,
            close: false,
        };
        Problem {
            parts: Box::new(parts),
        }
    }

    /// Makes a 400 that says what is wrong with the request.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::Problem;
    ///
    /// fn page(number: u32) -> Result<u32, Problem> {
    ///     if number == 0 { Err(Problem::bad_request("Pages start at 1.")) } else { Ok(number) }
    /// }
    /// assert_eq!(page(0).unwrap_err().status(), 400);
    /// ```
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST).detail(detail)
    }

    /// Makes a 404 that says what is missing.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::Problem;
    ///
    /// let article: Option<&str> = None; // what the database says
    /// let answer = article.ok_or_else(|| Problem::not_found("There is no such article."));
    /// assert_eq!(answer.unwrap_err().status(), 404);
    /// ```
    pub fn not_found(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::NOT_FOUND).detail(detail)
    }

    /// Makes a 409 that says what is in the way.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::conflict("Somebody has changed it meanwhile.").with("revision", 8);
    /// assert_eq!(problem.status(), 409);
    /// ```
    pub fn conflict(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::CONFLICT).detail(detail)
    }

    /// Makes a 413 that names the limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::too_large("A picture has at most 10 MiB.");
    /// assert_eq!(problem.status(), 413);
    /// ```
    pub fn too_large(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE).detail(detail)
    }

    /// Makes a 415 that names what is accepted.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::unsupported("Pictures are JPEG or PNG.");
    /// assert_eq!(problem.status(), 415);
    /// ```
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).detail(detail)
    }

    /// Makes a 422 for a request that can be read but not acted upon.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::unprocessable("The end is before the begin.").with("field", "end");
    /// assert_eq!(problem.status(), 422);
    /// ```
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY).detail(detail)
    }

    /// Makes a 500 for a fault of our own: logs the cause and gives the body only the id of the log line. Of a cause
    /// of more than 400 characters the middle is left out.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::internal(&"no row with the id 7 in `prices`"); // the log has this text
    /// assert_eq!(problem.status(), 500);
    /// assert_eq!(problem.text(), Some("The fault is ours and has been logged."));
    /// assert!(problem.member("id").is_some()); // the log has it too
    /// ```
    pub fn internal(cause: &dyn fmt::Display) -> Self {
        let id = incident::next_id();
        log(|| {
            // As text, which a subscriber escapes: it may have in it what a client has sent, and a line break in it
            // would begin a line of the client's choice.
            let cause = in_short(cause.to_string());
            tracing::error!(incident = %id, cause, "request failed");
        });
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR)
            .detail("The fault is ours and has been logged.")
            .with("id", id)
    }

    /// Makes a 502 for a server behind this one that failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::bad_gateway("There is no price today.");
    /// assert_eq!(problem.status(), 502);
    /// ```
    pub fn bad_gateway(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_GATEWAY).detail(detail)
    }

    /// Makes a 503 that asks the client to come back after a while.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::response::IntoResponse;
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::unavailable("The index is being built.", Duration::from_secs(30));
    /// let response = problem.into_response();
    /// assert_eq!(response.status(), 503);
    /// assert_eq!(response.headers()["retry-after"], "30");
    /// ```
    pub fn unavailable(detail: impl Into<String>, retry_after: Duration) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE)
            .detail(detail)
            .retry_after(retry_after)
    }

    /// Makes a 504 for work that did not end in its time.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::too_slow("The search took longer than 2 s: ask for less.");
    /// assert_eq!(problem.status(), 504);
    /// ```
    pub fn too_slow(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::GATEWAY_TIMEOUT).detail(detail)
    }

    /// Names the kind of problem by a URI; the default is `about:blank`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{body::to_bytes, response::IntoResponse};
    /// use nexios_axum::Problem;
    ///
    /// // What a client may act upon, and a developer read about.
    /// let problem = Problem::conflict("The cart is empty.").kind("https://shop.example/problems/empty-cart");
    /// let body = to_bytes(problem.into_response().into_body(), 1024).await?;
    /// let body: serde_json::Value = serde_json::from_slice(&body)?;
    /// assert_eq!(body["type"], "https://shop.example/problems/empty-cart");
    /// # Ok(())
    /// # }
    /// ```
    pub fn kind(mut self, uri: impl Into<String>) -> Self {
        self.parts.kind = Some(uri.into());
        self
    }

    /// Sets the title; the default is the status' own words.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::conflict("Put something in first.").title("The cart is empty");
    /// assert_eq!(problem.to_string(), "The cart is empty: Put something in first.");
    /// ```
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.parts.title = Some(title.into());
        self
    }

    /// Sets the explanation of this occurrence; the default is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::http::StatusCode;
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::new(StatusCode::GONE).detail("It was taken down in May.");
    /// assert_eq!(problem.text(), Some("It was taken down in May."));
    /// ```
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.parts.detail = Some(detail.into());
        self
    }

    /// Names this occurrence by a URI; the default is none.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{body::to_bytes, response::IntoResponse};
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::conflict("The order was shipped.").instance("/orders/7/attempts/2");
    /// let body = to_bytes(problem.into_response().into_body(), 1024).await?;
    /// let body: serde_json::Value = serde_json::from_slice(&body)?;
    /// assert_eq!(body["instance"], "/orders/7/attempts/2");
    /// # Ok(())
    /// # }
    /// ```
    pub fn instance(mut self, uri: impl Into<String>) -> Self {
        self.parts.instance = Some(uri.into());
        self
    }

    /// Adds a member of your own; the five members of RFC 9457 cannot be replaced by it.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::unprocessable("Two fields are wrong.").with("fields", vec!["begin", "end"]);
    /// assert_eq!(problem.member("fields").map(|fields| fields[1] == "end"), Some(true));
    /// ```
    pub fn with(mut self, member: impl Into<String>, value: impl Into<Value>) -> Self {
        self.parts.members.insert(member.into(), value.into());
        self
    }

    /// Sends `Retry-After` in whole seconds, rounded up, at least 1; the default is no header.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::{http::StatusCode, response::IntoResponse};
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS).retry_after(Duration::from_millis(1_200));
    /// assert_eq!(problem.into_response().headers()["retry-after"], "2");
    /// ```
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.parts.retry_after = Some(wait);
        self
    }

    /// Asks the client not to use this connection again, as a server does that shuts down.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::response::IntoResponse;
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::unavailable("Ask another one.", Duration::from_secs(1)).close_connection();
    /// assert_eq!(problem.into_response().headers()["connection"], "close");
    /// ```
    pub fn close_connection(mut self) -> Self {
        self.parts.close = true;
        self
    }

    /// Returns the status the response will have.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::Problem;
    ///
    /// /// Whether asking again may help.
    /// fn may_pass(problem: &Problem) -> bool {
    ///     problem.status().is_server_error()
    /// }
    /// assert!(!may_pass(&Problem::not_found("There is nothing here.")));
    /// ```
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// Returns the explanation that [`detail`](Self::detail) has set.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::Problem;
    ///
    /// let problem = Problem::not_found("There is no such article.");
    /// assert_eq!(problem.text(), Some("There is no such article."));
    /// ```
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.parts.detail.as_deref()
    }

    /// Returns a member that [`with`](Self::with) has added, such as the `id` of a fault of our own.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::Problem;
    ///
    /// // For a page that shows the id under which the log has the cause.
    /// let problem = Problem::internal(&"the disk is full");
    /// let id = problem.member("id").and_then(|id| id.as_str());
    /// assert!(id.is_some_and(|id| !id.is_empty()));
    /// ```
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.parts.members.get(name)
    }
}

impl Parts {
    fn into_json(self) -> Value {
        let mut body = self.members;
        let title = self.title.unwrap_or_else(|| reason(self.status).to_owned());
        body.insert(
            "type".to_owned(),
            self.kind.unwrap_or_else(|| "about:blank".to_owned()).into(),
        );
        body.insert("title".to_owned(), title.into());
        body.insert("status".to_owned(), self.status.as_u16().into());
        body.extend(
            self.detail
                .map(|detail| ("detail".to_owned(), detail.into())),
        );
        body.extend(
            self.instance
                .map(|instance| ("instance".to_owned(), instance.into())),
        );
        Value::Object(body)
    }
}

/// The status' own words; 499 has none in the registry.
fn reason(status: StatusCode) -> &'static str {
    match status.as_u16() {
        499 => "Client Closed Request",
        _ => status.canonical_reason().unwrap_or("Unknown"),
    }
}

/// The status in its own words, and the detail: for whoever carries a problem in an `anyhow::Error`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts {
            status,
            title,
            detail,
            ..
        } = &*self.parts;
        f.write_str(title.as_deref().unwrap_or_else(|| reason(*status)))?;
        match detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts {
            status,
            retry_after,
            close,
            ..
        } = *self.parts;
        let mut response = (status, self.parts.into_json().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(wait) = retry_after {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(seconds_to_wait(wait)),
            );
        }
        if close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Rounds up: a client must not come back early.
fn seconds_to_wait(wait: Duration) -> u64 {
    let seconds = wait
        .as_secs()
        .saturating_add(u64::from(wait.subsec_nanos() > 0));
    seconds.max(1)
}
