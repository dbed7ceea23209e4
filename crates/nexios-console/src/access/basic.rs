//! HTTP basic authentication, RFC 7617.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{authorization::credential, secret::Secret};

pub(super) const CHALLENGE: &str = r#"Basic realm="nexios", charset="UTF-8""#;

#[derive(Clone)]
pub(crate) struct Credential {
    user: String,
    /// `user:password`, as it is sent: one comparison tells nothing about either half.
    pair: Secret,
}

impl Credential {
    pub(super) fn new(user: String, secret: Secret) -> Self {
        let pair = secret.after(&user);
        Self { user, pair }
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn is_shown(&self, headers: &HeaderMap) -> bool {
        let Some(credential) = credential(headers.get(AUTHORIZATION), "basic") else {
            return false;
        };
        STANDARD
            .decode(credential)
            .is_ok_and(|pair| self.pair.is(&pair))
    }
}
