use std::ops::Deref;

use axum::{extract::FromRequestParts, http::request::Parts};
use nexios::Background;

use crate::{problem::Problem, request::RequestState};

/// Extracts the registry for work that outlives the request.
///
/// It is the one given to [`RequestLayer::background`](crate::RequestLayer::background), or
/// [`Background::global`].
///
/// # Examples
///
/// ```
/// use axum::{Router, http::StatusCode, routing::post};
/// use nexios_axum::{BackgroundTasks, Problem, RequestLayer};
///
/// async fn register(tasks: BackgroundTasks) -> Result<StatusCode, Problem> {
///     let _task = tasks.spawn("send welcome mail", |_task| async {})?;
///     Ok(StatusCode::ACCEPTED)
/// }
///
/// let app: Router = Router::new().route("/register", post(register)).layer(RequestLayer::new());
/// ```
///
/// # Errors
///
/// Answers 500 without a [`RequestLayer`](crate::RequestLayer), and the log says why: work must not be lost
/// silently.
#[derive(Debug, Clone)]
pub struct BackgroundTasks(pub Background);

impl Deref for BackgroundTasks {
    type Target = Background;

    fn deref(&self) -> &Background {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for BackgroundTasks {
    type Rejection = Problem;

    async fn from_request_parts(_parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match RequestState::current() {
            Some(state) => Ok(BackgroundTasks(state.background())),
            None => Err(Problem::internal(
                &"BackgroundTasks needs a RequestLayer around the route",
            )),
        }
    }
}
