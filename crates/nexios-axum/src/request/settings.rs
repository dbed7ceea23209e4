use std::{sync::Arc, time::Duration};

use nexios::{Background, CancelToken};

use super::{client::TrustedProxies, requests::Requests};
use crate::{answer::Render, deadline::DeadlineHeader};

/// What all requests of a layer share.
#[derive(Clone)]
pub(crate) struct Supervisor {
    pub(super) settings: Settings,
    pub(super) requests: Requests,
}

/// What the builder methods of a layer set.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Ends every request when it fires.
    pub(super) shutdown: Option<CancelToken>,
    /// What the extractor `BackgroundTasks` gives; None means the global one.
    pub(super) background: Option<Background>,
    /// The server's own limit for the time to the head of the answer.
    pub(super) deadline: Option<Duration>,
    /// The client's ways to shorten it.
    pub(super) headers: Arc<[DeadlineHeader]>,
    /// How long a rescued handler may go on after its token has fired; None means the default.
    pub(super) grace: Option<Duration>,
    /// Most handlers rescued at a time.
    pub(super) rescue_limit: usize,
    /// Who may say in whose name it asks.
    pub(super) proxies: TrustedProxies,
    /// How the app shows the answers that are given in place of a handler's.
    pub(super) render: Option<Render>,
}

impl Settings {
    /// How long a rescued handler may go on, unless its route says otherwise.
    pub(super) fn grace(&self) -> Duration {
        self.grace.unwrap_or(Duration::from_secs(2))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            shutdown: None,
            background: None,
            deadline: None,
            headers: DeadlineHeader::ALL.into(),
            grace: None,
            rescue_limit: 1_024,
            proxies: TrustedProxies::none(),
            render: None,
        }
    }
}
