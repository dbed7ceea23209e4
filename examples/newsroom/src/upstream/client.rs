//! Calls to the upstream API.

use std::fmt;

use axum::http::StatusCode;
use nexios::Interrupted;
use nexios_axum::{DeadlineHeader, Problem, WithDeadline};
use reqwest::Url;
use serde::de::DeserializeOwned;

use super::{Post, Statistics, Trial, User};

/// One shared client: its connections are used again.
pub(crate) struct UpstreamClient {
    http: reqwest::Client,
    base: Option<Url>,
}

impl UpstreamClient {
    pub(crate) fn new(base: Option<Url>) -> Self {
        let http = reqwest::Client::builder().no_proxy().build();
        UpstreamClient { http: http.expect("a client without TLS has nothing to load"), base }
    }

    pub(crate) async fn user(&self, id: u64, trial: Trial) -> Result<User, UpstreamError> {
        self.get("users", id, trial).await
    }

    pub(crate) async fn posts(&self, id: u64, trial: Trial) -> Result<Vec<Post>, UpstreamError> {
        self.get("posts", id, trial).await
    }

    pub(crate) async fn statistics(&self, id: u64, trial: Trial) -> Result<Statistics, UpstreamError> {
        self.get("stats", id, trial).await
    }

    async fn get<T: DeserializeOwned>(&self, what: &str, id: u64, trial: Trial) -> Result<T, UpstreamError> {
        let base = self.base.as_ref().ok_or(UpstreamError::NotConfigured)?;
        let url = format!("{}/{what}/{id}", base.as_str().trim_end_matches('/'));
        let call = self.http.get(url).query(&trial).with_deadline(DeadlineHeader::EnvoyExpectedTimeoutMs)?;
        let response = call.send().await?;
        match response.status() {
            StatusCode::NOT_FOUND => Err(UpstreamError::UnknownUser),
            status if status.is_success() => Ok(response.json().await?),
            status => Err(UpstreamError::Status(status)),
        }
    }
}

/// Why the upstream gave no answer that can be used.
#[derive(Debug)]
pub(crate) enum UpstreamError {
    NotConfigured,
    UnknownUser,
    Status(StatusCode),
    Http(reqwest::Error),
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

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpstreamError::NotConfigured => f.write_str("no upstream is configured"),
            UpstreamError::UnknownUser => f.write_str("unknown user"),
            UpstreamError::Status(status) => write!(f, "answered {status}"),
            UpstreamError::Http(error) => write!(f, "{error:?}"),
            UpstreamError::Interrupted(interrupted) => interrupted.fmt(f),
        }
    }
}

impl From<UpstreamError> for Problem {
    fn from(error: UpstreamError) -> Self {
        match error {
            UpstreamError::UnknownUser => Problem::not_found("There is no such user."),
            UpstreamError::Interrupted(interrupted) => interrupted.into(),
            // It was given what was left of the request's own time.
            UpstreamError::Http(error) if error.is_timeout() => {
                Problem::too_slow("The service behind this page did not answer in time.")
            }
            error => {
                tracing::warn!(%error, "upstream failed");
                Problem::bad_gateway("The service behind this page failed.")
            }
        }
    }
}
