//! `POST /send-newsletter`: work that outlives its request, and its service; `GET /newsletters`: what became of it.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use nexios_axum::{OrProblem, Problem};
use nexios_jobs::JobId;
use serde::Serialize;

use crate::{
    Newsroom,
    newsletter::{Letter, Newsletter},
};

/// A newsletter takes some seconds at least.
const COME_AGAIN: Duration = Duration::from_secs(10);

#[derive(Serialize)]
pub(crate) struct Started {
    status: &'static str,
    task_id: JobId,
}

pub(crate) async fn send_newsletter(
    State(Newsroom { newsletters, .. }): State<Newsroom>,
    OrProblem(Json(letter)): OrProblem<Json<Letter>>,
) -> Result<(StatusCode, Json<Started>), Problem> {
    let Some(task_id) = newsletters.accept(&letter).await? else {
        return Err(Problem::unavailable(
            "Other newsletters are being sent, as many as can be.",
            COME_AGAIN,
        ));
    };
    let started = Started {
        status: "Newsletter sending started",
        task_id,
    };
    Ok((StatusCode::ACCEPTED, Json(started)))
}

#[derive(Serialize)]
pub(crate) struct List {
    newsletters: Vec<Newsletter>,
}

/// The newest fifty, whoever sent them.
pub(crate) async fn newsletters(
    State(Newsroom { newsletters, .. }): State<Newsroom>,
) -> Result<Json<List>, Problem> {
    Ok(Json(List {
        newsletters: newsletters.list().await?,
    }))
}
