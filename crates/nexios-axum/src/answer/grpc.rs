//! gRPC's way to say that a call failed: an answer that is only a head, with the failure in its headers.

use std::fmt::Write;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};

use crate::problem::Problem;

const KIND: &str = "application/grpc";
static PLAIN: HeaderValue = HeaderValue::from_static(KIND);

pub(crate) static STATUS: HeaderName = HeaderName::from_static("grpc-status");
static MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

const UNKNOWN: u32 = 2;
const DEADLINE_EXCEEDED: u32 = 4;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;
const DATA_LOSS: u32 = 15;

/// Whether a call that ended so has failed by the server's fault, as 5xx says it; the others are the caller's.
pub(crate) fn is_failure(status: u32) -> bool {
    matches!(
        status,
        UNKNOWN | DEADLINE_EXCEEDED | UNIMPLEMENTED | INTERNAL | UNAVAILABLE | DATA_LOSS
    )
}

/// The content type of the answer to a call with this one; None if it is none of gRPC.
pub(super) fn content_type(call: &HeaderValue) -> Option<HeaderValue> {
    let rest = call.as_bytes().strip_prefix(KIND.as_bytes())?;
    match rest.first() {
        None | Some(b'+' | b';') => Some(PLAIN.clone()),
        // gRPC-Web clients want their own kind back.
        Some(b'-') => Some(call.clone()),
        Some(_) => None,
    }
}

pub(super) fn answer(content_type: &HeaderValue, problem: &Problem) -> Response {
    let status = match problem.status().as_u16() {
        504 => DEADLINE_EXCEEDED,
        503 => UNAVAILABLE,
        500 => INTERNAL,
        _ => UNKNOWN,
    };
    let mut text = problem.text().unwrap_or_default().to_owned();
    if let Some(id) = problem.member("id").and_then(|id| id.as_str()) {
        // To a string, so it cannot fail.
        let _ = write!(text, " Its id is {id}.");
    }
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type.clone());
    headers.insert(STATUS.clone(), HeaderValue::from(status));
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(&text)) {
        headers.insert(MESSAGE.clone(), message);
    }
    response
}

/// Leaves printable ASCII as it is, as gRPC's protocol wants it.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut encoded, byte| {
            match byte {
                b'%' | ..b' ' | 0x7F.. => {
                    // To a string, so it cannot fail.
                    let _ = write!(encoded, "%{byte:02X}");
                }
                _ => encoded.push(char::from(byte)),
            }
            encoded
        })
}
