//! `GET /analytics/daily` and `POST /analytics/reset`: one computation, however many ask for it.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use nexios::Background;
use nexios_axum::Problem;
use serde::Serialize;

use crate::{
    Newsroom,
    analytics::{Day, RESET_AT},
};

#[derive(Serialize)]
struct Daily<'a> {
    days: &'a [Day],
}

pub(crate) async fn daily(State(newsroom): State<Newsroom>) -> Result<Response, Problem> {
    let days = newsroom.daily_totals.get().await?;
    Ok(Json(Daily { days: &days }).into_response())
}

pub(crate) async fn reset(State(newsroom): State<Newsroom>) -> StatusCode {
    newsroom.daily_totals.reset();
    StatusCode::NO_CONTENT
}

impl Newsroom {
    /// Lets the analytics be computed anew after every midnight (UTC), until the service ends.
    ///
    /// The schedule is a background task like any other: the status page counts it, and it can be cancelled there.
    pub fn reset_analytics_daily(&self) {
        let daily_totals = self.daily_totals.clone();
        let schedule = Background::global().cron("reset analytics at midnight", RESET_AT, move |_| {
            daily_totals.reset();
            async {}
        });
        if let Err(refused) = schedule {
            tracing::error!(%refused, "analytics will not be reset");
        }
    }
}
