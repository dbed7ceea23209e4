//! The lines that a request leaves in the log, in the span that it came in.
//!
//! All of them have the target `nexios_axum::access`. A request has one line: when the last byte of its answer
//! is out, or when it is sure that there will be none. A rescued handler has one more. A route may leave its own out. They are all INFO: how many there are
//! is the clients' to choose.

use std::time::Duration;

use axum::http::Method;

use super::state::RequestState;
use crate::{log::log, rationed_log::RationedLog, text::for_the_log};

/// 499 is nginx' number for a client that did not wait; nobody is there to receive it.
pub(super) const CLIENT_CLOSED_REQUEST: u16 = 499;

/// How a rescued handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cleanup {
    Finished,
    CutOff,
    Panicked,
}

// A guard around the span and one in it: see `log`.
macro_rules! line {
    ($level:ident, $state:ident, $($fields:tt)*) => {
        if $state.is_in_access_log() {
            $state.span().within(|| {
                log(|| {
                    tracing::$level!(
                        target: "nexios_axum::access",
                        method = $state.method_name(),
                        path = $state.path(),
                        route = $state.route(),
                        client = $state.client().map(tracing::field::display),
                        $($fields)*
                    );
                })
            })
        }
    };
}

/// The answer is out, or `aborted` half-way. A gRPC call has a status of its own.
pub(super) fn answered(state: &RequestState, status: u16, grpc_status: Option<u32>, aborted: bool) {
    let aborted = aborted.then_some(true);
    line!(
        info,
        state,
        status,
        grpc_status,
        duration_ms = milliseconds(state.elapsed()),
        // Of a 504 it tells whether the request's own time was over, or that of a part of its work.
        deadline_ms = state.time_allowed().map(milliseconds),
        aborted,
        "answered"
    );
}

/// The service inside gave an error in place of an answer.
pub(super) fn failed(state: &RequestState) {
    line!(
        info,
        state,
        duration_ms = milliseconds(state.elapsed()),
        "failed without an answer"
    );
}

/// The client went away before there was an answer.
pub(super) fn client_gone(state: &RequestState) {
    line!(
        info,
        state,
        status = CLIENT_CLOSED_REQUEST,
        duration_ms = milliseconds(state.elapsed()),
        "client went away"
    );
}

/// The client went away before anybody had begun with its request, which no layer can see: the server had read the head,
/// and found in the same turn that there is nobody to answer.
pub(crate) fn never_begun(method: &Method, path: &str, after: Duration) {
    log(|| {
        tracing::info!(
            target: "nexios_axum::access",
            method = for_the_log(method.as_str()),
            path = for_the_log(path),
            status = CLIENT_CLOSED_REQUEST,
            duration_ms = milliseconds(after),
            "client went away before its request was begun"
        );
    });
}

/// A handler that should have been rescued was dropped.
pub(super) fn not_rescued(state: &RequestState) {
    line!(info, state, "no rescue: the handler is dropped at once");
    warn(
        state,
        &state.requests().warnings().unrescued,
        |name, count| {
            tracing::warn!(
                request = name,
                count,
                "handlers were dropped without a rescue: too many are rescued already, or there is no runtime"
            );
        },
    );
}

/// A rescued handler has ended.
pub(super) fn rescue_ended(state: &RequestState, cleanup: Cleanup, took: Duration) {
    let cleanup_ms = milliseconds(took);
    match cleanup {
        Cleanup::Finished => line!(
            info,
            state,
            cleanup = "finished",
            cleanup_ms,
            "rescued handler ended"
        ),
        Cleanup::CutOff => {
            line!(
                info,
                state,
                cleanup = "cut off",
                cleanup_ms,
                "rescued handler ended"
            );
            warn(
                state,
                &state.requests().warnings().cut_off,
                |name, count| {
                    tracing::warn!(
                        request = name,
                        count,
                        "rescued handlers were cut off: they did not end within their grace"
                    );
                },
            );
        }
        // Its panic has a line of its own, with an id.
        Cleanup::Panicked => line!(
            info,
            state,
            cleanup = "panicked",
            cleanup_ms,
            "rescued handler ended"
        ),
    }
}

/// Says so for all requests of a layer, with the name of this one.
fn warn(state: &RequestState, warning: &RationedLog, line: impl FnOnce(&str, u64)) {
    state.span().within(|| {
        warning.say(|count| line(&format!("{} {}", state.method_name(), state.name()), count));
    });
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
