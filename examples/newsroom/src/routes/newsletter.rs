//! `POST /send-newsletter`: work that outlives its request.

use axum::{Json, extract::State, http::StatusCode};
use nexios::Background;
use nexios_axum::{OrProblem, Problem};
use serde::Serialize;

use crate::{Newsroom, newsletter::Letter};

#[derive(Serialize)]
pub(crate) struct Started {
    status: &'static str,
    task_id: u64,
}

pub(crate) async fn send_newsletter(
    State(Newsroom { newsletters, .. }): State<Newsroom>,
    OrProblem(Json(letter)): OrProblem<Json<Letter>>,
) -> Result<(StatusCode, Json<Started>), Problem> {
    let task =
        Background::global().spawn_fallible("send newsletter", |task| newsletters.send(letter, task))?;
    let started = Started { status: "Newsletter sending started", task_id: task.id().0 };
    Ok((StatusCode::ACCEPTED, Json(started)))
}
