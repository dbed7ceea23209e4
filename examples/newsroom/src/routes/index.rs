//! `GET /`: a page that tries every route.

use axum::response::Html;

pub(crate) async fn index() -> Html<&'static str> {
    Html(include_str!("index.html"))
}
