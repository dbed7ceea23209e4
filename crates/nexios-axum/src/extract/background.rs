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
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::Body, http::{Request, StatusCode}, routing::get};
/// use nexios::Background;
/// use nexios_axum::{BackgroundTasks, Problem, RequestLayer};
/// use tower::ServiceExt;
///
/// async fn register(tasks: BackgroundTasks) -> Result<StatusCode, Problem> {
///     let _task = tasks.spawn("send welcome mail", |_task| async {})?; // goes on after the answer
///     Ok(StatusCode::ACCEPTED)
/// }
///
/// let mails = Background::new();
/// let layer = RequestLayer::new().background(mails.clone());
/// let app: Router = Router::new().route("/", get(register)).layer(layer);
/// assert_eq!(app.oneshot(Request::new(Body::empty())).await?.status(), 202);
/// assert_eq!(mails.list()[0].name, "send welcome mail");
/// # Ok(())
/// # }
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
