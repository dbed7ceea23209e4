//! `GET /dashboard?user_id=7`: three calls at once; the first failure cancels the others.

use std::time::Duration;

use axum::{
    Json,
    extract::{Query, State},
};
use nexios::TaskGroup;
use nexios_axum::{OrProblem, Problem};
use serde::{Deserialize, Serialize};

use crate::{
    Newsroom,
    upstream::{Post, Statistics, Trial, User},
};

const PATIENCE: Duration = Duration::from_secs(2);

/// `delay_ms` and `status` go on to the upstream, to try what happens when it is slow or fails.
#[derive(Deserialize)]
pub(crate) struct Params {
    user_id: u64,
    delay_ms: Option<u64>,
    status: Option<u16>,
}

#[derive(Serialize)]
pub(crate) struct Dashboard {
    user: User,
    recent_posts: Vec<Post>,
    statistics: Statistics,
}

pub(crate) async fn dashboard(
    State(Newsroom { upstream, .. }): State<Newsroom>,
    OrProblem(Query(Params {
        user_id,
        delay_ms,
        status,
    })): OrProblem<Query<Params>>,
) -> Result<Json<Dashboard>, Problem> {
    let trial = Trial { delay_ms, status };
    // Otherwise the upstream would be blamed for it.
    trial.check().map_err(Problem::bad_request)?;
    let group = TaskGroup::builder()
        .name("dashboard")
        .timeout(PATIENCE)
        .build();
    let dashboard = group.run(async {
        let user = group.spawn_named("user", upstream.user(user_id, trial));
        let posts = group.spawn_named("posts", upstream.posts(user_id, trial));
        let statistics = group.spawn_named("statistics", upstream.statistics(user_id, trial));
        Ok(Dashboard {
            user: user.await?,
            recent_posts: posts.await?,
            statistics: statistics.await?,
        })
    });
    Ok(Json(dashboard.await?))
}
