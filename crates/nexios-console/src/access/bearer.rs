//! Bearer tokens, RFC 6750: in the header alone, never in an address, which is logged and remembered.

use axum::http::{HeaderMap, header::AUTHORIZATION};

use super::{authorization::credential, secret::Secret};

pub(super) const CHALLENGE: &str = r#"Bearer realm="nexios""#;

pub(super) fn shows(headers: &HeaderMap, secret: &Secret) -> bool {
    credential(headers.get(AUTHORIZATION), "bearer").is_some_and(|token| secret.is(token))
}
