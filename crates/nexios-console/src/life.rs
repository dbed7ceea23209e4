//! The life of the service that is looked at, as far as it is known.
//!
//! A console that is nested in the router of a `NexiosApp` finds it in each request; one on a listener of its own is given a
//! handle. Under plain axum there is none.

use std::sync::{Mutex, PoisonError};

use axum::http::Extensions;
use nexios_axum::{AppHandle, Phase, ServiceLife};

/// The phases as words, in their order.
#[cfg(feature = "prometheus")]
pub(crate) const PHASES: [Phase; 6] = [
    Phase::Starting,
    Phase::Ready,
    Phase::Draining,
    Phase::Closing,
    Phase::Cancelling,
    Phase::Stopped,
];

/// What a request tells of the service that it came to.
#[derive(Debug, Clone)]
pub(crate) struct Life(Option<ServiceLife>);

impl Life {
    pub(crate) fn of(extensions: &Extensions) -> Self {
        Self(extensions.get().cloned())
    }

    #[cfg(feature = "prometheus")]
    pub(crate) fn phase(&self) -> Option<Phase> {
        self.0.as_ref().map(ServiceLife::phase)
    }
}

/// What a console knows.
#[derive(Debug, Default)]
pub(crate) struct Known {
    handle: Option<AppHandle>,
    /// What the last request told.
    seen: Mutex<Option<ServiceLife>>,
}

impl Known {
    pub(crate) fn new(handle: Option<AppHandle>) -> Self {
        Self {
            handle,
            seen: Mutex::default(),
        }
    }

    pub(crate) fn see(&self, extensions: &Extensions) {
        let Life(Some(life)) = Life::of(extensions) else {
            return;
        };
        let old = self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(life);
        drop(old);
    }

    pub(crate) fn phase(&self) -> Option<Phase> {
        match &self.handle {
            Some(handle) => Some(handle.phase()),
            None => self
                .seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_ref()
                .map(ServiceLife::phase),
        }
    }

    /// The phase as the header shows it: a service without a life is as ready as it will be.
    pub(crate) fn phase_name(&self) -> &'static str {
        self.phase().unwrap_or(Phase::Ready).as_str()
    }

    /// Waits until the service has ended; for ever if it is not known.
    pub(crate) async fn stopped(&self) {
        match &self.handle {
            Some(handle) => handle.reached(Phase::Stopped).await,
            None => std::future::pending().await,
        }
    }

    /// Waits until streams that came with this request should end: with the service whose listener they are on.
    pub(crate) async fn closing(&self, life: &Life) {
        match &life.0 {
            Some(life) => drop(life.closing().cancelled().await),
            None => self.stopped().await,
        }
    }
}
