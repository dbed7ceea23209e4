//! Lines of the log about what somebody has done over the routes of tasks and jobs.
//!
//! They are not rationed: they are the acts of those who look after the service, and who did what is what they are asked for.

use std::fmt::Display;

use crate::{log::log, request::RequestState, text::for_the_log};

/// Says what was done to a task or a job, and who asked for it if a [`RequestLayer`](crate::RequestLayer) knows.
pub(crate) fn acted(what: &str, id: impl Display, name: &str) {
    let client = RequestState::current().and_then(|state| state.client());
    let client = client.map(tracing::field::display);
    log(|| tracing::info!(%id, name = for_the_log(name), client, "{what} over the routes"));
}
