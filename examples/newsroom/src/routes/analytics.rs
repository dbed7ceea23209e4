//! `GET /analytics/daily` and `POST /analytics/reset`: one computation, however many ask for it.

use axum::{
    extract::{Query, State},
    http::{
        StatusCode,
        header::{AGE, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use nexios::Background;
use nexios_axum::{OrProblem, Problem};
use serde::Deserialize;

use crate::{
    Newsroom,
    analytics::{END_OF_DAY, problem},
    origin::Origin,
};

/// `?page=/sport` asks for the sums of one page, `?refresh=1` for new ones.
#[derive(Deserialize)]
pub(crate) struct Params {
    page: Option<String>,
    #[serde(default)]
    refresh: u8,
}

pub(crate) async fn daily(
    State(Newsroom { analytics, .. }): State<Newsroom>,
    origin: Origin,
    OrProblem(Query(Params { page, refresh })): OrProblem<Query<Params>>,
) -> Result<Response, Problem> {
    let refresh = refresh != 0;
    if refresh {
        // It costs a computation, so it is not for pages of other sites, though it is a GET.
        origin.must_be_ours()?;
    }
    let daily = analytics.daily(refresh).await.map_err(problem)?;
    let body = daily
        .of(page.as_deref())
        .ok_or_else(|| Problem::not_found("There is no such page."))?;
    let headers = [
        (CONTENT_TYPE, "application/json".into()),
        (AGE, daily.age().as_secs().to_string()),
    ];
    Ok((headers, body).into_response())
}

pub(crate) async fn reset(State(newsroom): State<Newsroom>) -> Result<StatusCode, Problem> {
    newsroom.analytics.reset()?;
    Ok(StatusCode::NO_CONTENT)
}

impl Newsroom {
    /// Lets the analytics be computed anew after every midnight (UTC), ahead of those who ask, until the service ends.
    ///
    /// The schedule is a background task like any other: the status page counts it, and it can be cancelled
    /// there.
    pub fn refresh_analytics_daily(&self) {
        let analytics = self.analytics.clone();
        let name = "refresh analytics at midnight";
        let schedule = Background::global().cron_fallible(name, END_OF_DAY, move |_| {
            let analytics = analytics.clone();
            async move { analytics.refresh_what_is_there().await }
        });
        if let Err(refused) = schedule {
            tracing::error!(%refused, "analytics will not be refreshed");
        }
    }
}
