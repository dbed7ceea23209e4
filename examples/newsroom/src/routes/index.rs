//! `GET /`: a page that tries every route.

use axum::{extract::State, response::Html};

use crate::Newsroom;

const CONSOLE: &str = r#" <a href="/nexios">The console</a> shows live what becomes of it, and of all that has an owner here."#;

pub(crate) async fn index(State(newsroom): State<Newsroom>) -> Html<String> {
    let link = newsroom.console.map_or("", |_| CONSOLE);
    Html(include_str!("index.html").replace("<!-- console -->", link))
}
