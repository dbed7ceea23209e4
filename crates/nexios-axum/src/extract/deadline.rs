use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{
    deadline::Deadline,
    request::{RequestState, warn_once},
};

impl<S: Sync> FromRequestParts<S> for Deadline {
    type Rejection = Infallible;

    async fn from_request_parts(_parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(match RequestState::current() {
            Some(state) => state.deadline(),
            None => {
                warn_once("Deadline");
                Deadline::current()
            }
        })
    }
}
