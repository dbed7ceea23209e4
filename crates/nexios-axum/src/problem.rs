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
/// use axum::http::StatusCode;
/// use nexios_axum::Problem;
///
/// async fn article(id: u64) -> Result<String, Problem> {
///     match id {
///         0 => Err(Problem::bad_request("ids start at 1")),
///         1 => Ok("the first".to_owned()),
///         _ => Err(Problem::new(StatusCode::NOT_FOUND).detail("there is no such article").with("article", id)),
///     }
/// }
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
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST).detail(detail)
    }

    /// Makes a 404 that says what is missing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::NOT_FOUND).detail(detail)
    }

    /// Makes a 409 that says what is in the way.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::CONFLICT).detail(detail)
    }

    /// Makes a 413 that names the limit.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE).detail(detail)
    }

    /// Makes a 415 that names what is accepted.
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).detail(detail)
    }

    /// Makes a 422 for a request that can be read but not acted upon.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY).detail(detail)
    }

    /// Makes a 500 for a fault of our own: logs the cause and gives the body only the id of the log line. Of a cause
    /// of more than 400 characters the middle is left out.
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
    pub fn bad_gateway(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_GATEWAY).detail(detail)
    }

    /// Makes a 503 that asks the client to come back after a while.
    pub fn unavailable(detail: impl Into<String>, retry_after: Duration) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE)
            .detail(detail)
            .retry_after(retry_after)
    }

    /// Makes a 504 for work that did not end in its time.
    pub fn too_slow(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::GATEWAY_TIMEOUT).detail(detail)
    }

    /// Names the kind of problem by a URI; the default is `about:blank`.
    pub fn kind(mut self, uri: impl Into<String>) -> Self {
        self.parts.kind = Some(uri.into());
        self
    }

    /// Sets the title; the default is the status' own words.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.parts.title = Some(title.into());
        self
    }

    /// Sets the explanation of this occurrence; the default is none.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.parts.detail = Some(detail.into());
        self
    }

    /// Names this occurrence by a URI; the default is none.
    pub fn instance(mut self, uri: impl Into<String>) -> Self {
        self.parts.instance = Some(uri.into());
        self
    }

    /// Adds a member of your own; the five members of RFC 9457 cannot be replaced by it.
    pub fn with(mut self, member: impl Into<String>, value: impl Into<Value>) -> Self {
        self.parts.members.insert(member.into(), value.into());
        self
    }

    /// Sends `Retry-After` in whole seconds, rounded up, at least 1; the default is no header.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.parts.retry_after = Some(wait);
        self
    }

    /// Asks the client not to use this connection again, as a server does that shuts down.
    pub fn close_connection(mut self) -> Self {
        self.parts.close = true;
        self
    }

    /// Returns the status the response will have.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// Returns the explanation that [`detail`](Self::detail) has set.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.parts.detail.as_deref()
    }

    /// Returns a member that [`with`](Self::with) has added, such as the `id` of a fault of our own.
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
