use std::{convert::Infallible, ops::Deref};

use axum::{extract::FromRequestParts, http::request::Parts};
use nexios::{GroupError, TaskGroup};

use crate::{
    problem::Problem,
    request::{RequestState, warn_once},
};

/// Extracts a [`TaskGroup`] that is named after the route and ends with the request.
///
/// It is what `TaskGroup::builder().name(route).build()` makes in the handler. A group made there may also borrow
/// from the handler's variables, which this one cannot, as it is older than they are: its children own what they use. So with
/// `State(app)` give each child a clone, `let lazy = app.lazy.clone(); group.spawn(async move { .. })`, or make a group with the
/// same name in the handler, `TaskGroup::builder().name("GET /sum").build::<Problem>()`, which may borrow `app`.
///
/// The handler decides when it is joined, by [`run`](TaskGroup::run) or [`join`](TaskGroup::join); nothing is
/// joined behind its back, because an error found there would have nowhere to go. Children that still run when the
/// handler returns are dropped before the answer is sent.
///
/// Its error is a [`Problem`], unless the handler says another one.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::{Body, to_bytes}, http::Request, routing::get};
/// use nexios_axum::{Problem, RequestGroup, RequestLayer};
/// use tower::ServiceExt;
///
/// async fn sum(RequestGroup(group): RequestGroup) -> Result<String, Problem> {
///     let total = group.run(async {
///         let one = group.spawn(async { Ok(1) });
///         let two = group.spawn(async { Ok(2) });
///         Ok(one.await? + two.await?)
///     });
///     Ok(total.await?.to_string())
/// }
///
/// let app: Router = Router::new().route("/", get(sum)).layer(RequestLayer::new());
/// let response = app.oneshot(Request::new(Body::empty())).await?;
/// assert_eq!(&to_bytes(response.into_body(), 1024).await?[..], b"3");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RequestGroup<E = Problem>(pub TaskGroup<'static, E>);

impl<E> Deref for RequestGroup<E> {
    type Target = TaskGroup<'static, E>;

    fn deref(&self) -> &TaskGroup<'static, E> {
        &self.0
    }
}

impl<S, E> FromRequestParts<S> for RequestGroup<E>
where
    S: Sync,
    E: GroupError + 'static,
{
    type Rejection = Infallible;

    async fn from_request_parts(_parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(RequestGroup(match RequestState::current() {
            Some(state) => TaskGroup::builder().name(state.name().to_owned()).build(),
            None => {
                warn_once("RequestGroup");
                TaskGroup::new()
            }
        }))
    }
}
