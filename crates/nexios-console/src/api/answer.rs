//! An answer with its tag, or the word that nothing has changed.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use nexios_axum::Problem;
use serde::Serialize;
use serde_json::Value;

use crate::{
    access::Access,
    model::{Answer, Redact},
};

/// To whom an answer goes, and which one they have.
pub(super) struct Answering {
    access: Access,
    known: Option<IfNoneMatch>,
}

impl<S: Sync> FromRequestParts<S> for Answering {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let access = parts.extensions.get().copied().unwrap_or(Access::Forbidden);
        if access < Access::View {
            return Err(Problem::new(StatusCode::FORBIDDEN));
        }
        Ok(Self {
            access,
            known: parts.headers.typed_get(),
        })
    }
}

impl Answering {
    pub(super) fn show<T: Redact + Serialize>(
        self,
        answer: Answer<T>,
    ) -> Result<Response, Problem> {
        let access = self.access;
        self.write(&answer.redacted(access))
    }

    /// The same as a file to keep.
    pub(super) fn download<T: Redact + Serialize>(
        self,
        name: &str,
        content: T,
    ) -> Result<Response, Problem> {
        let access = self.access;
        let mut response = self.write(&content.redacted(access))?;
        let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
        if let Ok(disposition) = disposition {
            response
                .headers_mut()
                .insert(header::CONTENT_DISPOSITION, disposition);
        }
        Ok(response)
    }

    pub(super) fn write(self, content: &impl Serialize) -> Result<Response, Problem> {
        let tag = tag(serde_json::to_value(content).map_err(|error| Problem::internal(&error))?);
        let mut headers = HeaderMap::new();
        if let Ok(tag) = tag.parse::<ETag>() {
            headers.typed_insert(tag.clone());
            if self
                .known
                .is_some_and(|known| !known.precondition_passes(&tag))
            {
                return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
            }
        }
        let body = serde_json::to_vec(content).map_err(|error| Problem::internal(&error))?;
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        Ok((headers, body).into_response())
    }
}

/// Fields that change while nothing happens: times that go on, what is counted anywhere else, and texts that tell of them.
const GO_ON: [&str; 13] = [
    "rev",
    "observed",
    "uptime_ms",
    "age_ms",
    "waited_ms",
    "elapsed_ms",
    "eta_ms",
    "duration_ms",
    "cleanup_ms",
    "fresh_for_ms",
    "oldest_running_ms",
    "history",
    "text",
];

/// A weak tag, the same for as long as nothing has happened: who asks again while a task runs on has what there is to know.
fn tag(mut content: Value) -> String {
    stand_still(&mut content);
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("W/\"{:016x}\"", hasher.finish())
}

fn stand_still(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !GO_ON.contains(&name.as_str()));
            fields.values_mut().for_each(stand_still);
        }
        Value::Array(values) => values.iter_mut().for_each(stand_still),
        _ => {}
    }
}
