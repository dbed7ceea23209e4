//! Calls to the upstream API.

use std::fmt;

use axum::http::StatusCode;
use nexios::Interrupted;
use nexios_axum::{DeadlineHeader, Problem, WithDeadline};
use reqwest::{Response, Url, redirect::Policy};
use serde::de::DeserializeOwned;

use crate::foreign_text::one_line;

use super::{Post, Statistics, Trial, User};

/// The most bytes of an answer; those of the API have a few hundred.
const MOST_BYTES: usize = 64 * 1024;

/// The most connections that are kept to be used again.
const MOST_IDLE: usize = 32;

/// One shared client: its connections are used again.
pub(crate) struct UpstreamClient {
    http: reqwest::Client,
    base: Option<Url>,
}

impl UpstreamClient {
    pub(crate) fn new(base: Option<Url>) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(MOST_IDLE)
            // The API has no reason to send us elsewhere, least of all to a place that only we can reach.
            .redirect(Policy::none())
            .build();
        UpstreamClient {
            http: http.expect("a client without TLS has nothing to load"),
            base,
        }
    }

    pub(crate) async fn user(&self, id: u64, trial: Trial) -> Result<User, UpstreamError> {
        self.get("users", id, trial).await
    }

    pub(crate) async fn posts(&self, id: u64, trial: Trial) -> Result<Vec<Post>, UpstreamError> {
        self.get("posts", id, trial).await
    }

    pub(crate) async fn statistics(
        &self,
        id: u64,
        trial: Trial,
    ) -> Result<Statistics, UpstreamError> {
        self.get("stats", id, trial).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        id: u64,
        trial: Trial,
    ) -> Result<T, UpstreamError> {
        let base = self.base.as_ref().ok_or(UpstreamError::NotConfigured)?;
        let url = format!("{}/{what}/{id}", base.as_str().trim_end_matches('/'));
        let call = self
            .http
            .get(url)
            .query(&trial)
            .with_deadline(DeadlineHeader::EnvoyExpectedTimeoutMs)?;
        let response = call.send().await?;
        match response.status() {
            StatusCode::NOT_FOUND => Err(UpstreamError::UnknownUser),
            status if trial.status == Some(status.as_u16()) => Err(UpstreamError::Trial(status)),
            status if status.is_success() => Ok(serde_json::from_slice(&read(response).await?)?),
            status => Err(UpstreamError::Status(status)),
        }
    }
}

/// Reads an answer that is no larger than answers are; its time is that of the call.
async fn read(mut response: Response) -> Result<Vec<u8>, UpstreamError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MOST_BYTES {
            return Err(UpstreamError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Why the upstream gave no answer that can be used.
#[derive(Debug)]
pub(crate) enum UpstreamError {
    NotConfigured,
    UnknownUser,
    /// As it was asked to.
    Trial(StatusCode),
    Status(StatusCode),
    TooLarge,
    Http(reqwest::Error),
    Json(serde_json::Error),
    Interrupted(Interrupted),
}

impl From<Interrupted> for UpstreamError {
    fn from(interrupted: Interrupted) -> Self {
        UpstreamError::Interrupted(interrupted)
    }
}

impl From<reqwest::Error> for UpstreamError {
    fn from(error: reqwest::Error) -> Self {
        UpstreamError::Http(error)
    }
}

impl From<serde_json::Error> for UpstreamError {
    fn from(error: serde_json::Error) -> Self {
        UpstreamError::Json(error)
    }
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpstreamError::NotConfigured => f.write_str("no upstream is configured"),
            UpstreamError::UnknownUser => f.write_str("unknown user"),
            UpstreamError::Trial(status) => write!(f, "answered {status} as it was asked to"),
            UpstreamError::Status(status) => write!(f, "answered {status}"),
            UpstreamError::TooLarge => write!(f, "sent more than {MOST_BYTES} bytes"),
            UpstreamError::Http(error) => write!(f, "{error:?}"),
            UpstreamError::Json(error) => write!(f, "sent something else: {error}"),
            UpstreamError::Interrupted(interrupted) => interrupted.fmt(f),
        }
    }
}

impl From<UpstreamError> for Problem {
    fn from(error: UpstreamError) -> Self {
        match error {
            UpstreamError::UnknownUser => Problem::not_found("There is no such user."),
            // Clients try it as often as they like: no warning.
            UpstreamError::Trial(_) => {
                tracing::info!(%error, "upstream failed");
                failed()
            }
            UpstreamError::Interrupted(interrupted) => interrupted.into(),
            // It was given what was left of the request's own time.
            UpstreamError::Http(error) if error.is_timeout() => {
                Problem::too_slow("The service behind this page did not answer in time.")
            }
            error => {
                let error = one_line(&error.to_string());
                tracing::warn!(%error, "upstream failed");
                failed()
            }
        }
    }
}

fn failed() -> Problem {
    Problem::bad_gateway("The service behind this page failed.")
}
