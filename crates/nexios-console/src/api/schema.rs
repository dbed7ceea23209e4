//! The answers as OpenAPI describes them.

use axum::response::Response;
use nexios_axum::Problem;
use serde_json::Value;

use super::answer::Answering;

/// As it is in the repository; a test holds it against the answers.
const TEXT: &str = include_str!("openapi.json");

pub(super) async fn answer(to: Answering) -> Result<Response, Problem> {
    to.write(&document())
}

pub(super) fn document() -> Value {
    serde_json::from_str(TEXT).unwrap_or_default()
}
