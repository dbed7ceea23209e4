//! `GET /search?q=rust`: three sources; the first that answers wins.

use std::{borrow::Cow, time::Duration};

use axum::{
    Json,
    extract::{Query, State},
};
use nexios::{Candidate, run_until_first_complete};
use nexios_axum::{OrProblem, Problem};
use serde::{Deserialize, Serialize};

use crate::{
    Newsroom,
    search::{Hit, SearchError, SearchQuery},
};

const HEAD_START: Duration = Duration::from_millis(50);
const SCAN_LIMIT: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(3);

/// `primary`, `replica` and `scan` may be `slow` or `fail`, to try who answers then.
#[derive(Deserialize)]
pub(crate) struct Params {
    #[serde(default)]
    q: String,
    #[serde(default)]
    primary: Trial,
    #[serde(default)]
    replica: Trial,
    #[serde(default)]
    scan: Trial,
}

#[derive(Serialize)]
pub(crate) struct Found {
    results: Vec<Hit>,
    served_by: Cow<'static, str>,
}

pub(crate) async fn search(
    State(Newsroom { articles, .. }): State<Newsroom>,
    OrProblem(Query(params)): OrProblem<Query<Params>>,
) -> Result<Json<Found>, Problem> {
    let query = SearchQuery::parse(&params.q)?;
    let primary = params.primary.play(articles.search_primary(query.clone()));
    let replica = params.replica.play(articles.search_replica(query.clone()));
    let scan = params.scan.play(articles.scan(query));

    let winner = run_until_first_complete([
        Candidate::new("primary", primary),
        Candidate::new("replica", replica).after(HEAD_START),
        // Together with the replica: a primary that is well spares the service the scan.
        Candidate::new("scan", scan).timeout(SCAN_LIMIT),
    ])
    .timeout(LIMIT)
    .winner()
    .await?;
    Ok(Json(Found { results: winner.value, served_by: winner.name }))
}

/// How a source shall behave.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Trial {
    #[default]
    Ok,
    Slow,
    Fail,
}

impl Trial {
    async fn play(
        self,
        search: impl Future<Output = Result<Vec<Hit>, SearchError>>,
    ) -> Result<Vec<Hit>, SearchError> {
        match self {
            Trial::Ok => search.await,
            Trial::Slow => {
                tokio::time::sleep(2 * LIMIT).await;
                search.await
            }
            Trial::Fail => Err(SearchError::Trial),
        }
    }
}
