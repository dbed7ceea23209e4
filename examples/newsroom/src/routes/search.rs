//! `GET /search?q=rust`: three sources; the first that answers wins.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use axum::{
    Json,
    extract::{Query, State},
};
use nexios::{Attempt, Candidate, run_until_first_complete};
use nexios_axum::{OrProblem, Problem};
use serde::{Deserialize, Serialize};

use crate::{
    Newsroom,
    search::{self, Hit, SearchError, SearchQuery, Source},
};

const HEAD_START: Duration = Duration::from_millis(50);
const SCAN_LIMIT: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(3);

/// `primary`, `replica` and `scan` may be `slow`, `stutter` (only the first attempt is slow) or `fail`, to try
/// who answers then.
#[derive(Deserialize)]
pub(crate) struct Params {
    #[serde(default)]
    q: String,
    #[serde(default)]
    primary: Behaviour,
    #[serde(default)]
    replica: Behaviour,
    #[serde(default)]
    scan: Behaviour,
}

#[derive(Serialize)]
pub(crate) struct Found {
    results: Vec<Hit>,
    served_by: &'static str,
}

pub(crate) async fn search(
    State(Newsroom { articles, .. }): State<Newsroom>,
    OrProblem(Query(params)): OrProblem<Query<Params>>,
) -> Result<Json<Found>, Problem> {
    let query = SearchQuery::parse(&params.q)?;
    let failed = AtomicBool::new(false);
    let primary = async {
        let hits = async {
            params.primary.play(1).await?;
            articles.search_primary(query.clone()).await
        };
        // Relaxed: it is read by the same task.
        hits.await
            .inspect_err(|_| failed.store(true, Ordering::Relaxed))
    };
    // Those two help a primary that is slow. When it is our own threads that are, they would be more of the same,
    // unless the primary has failed.
    let replica = async {
        if !failed.load(Ordering::Relaxed) {
            articles.is_not_behind()?;
        }
        let trial = |attempt: Attempt| params.replica.play(attempt.number);
        articles.search_replica(query.clone(), trial).await
    };
    let scan = async {
        params.scan.play(1).await?;
        if !failed.load(Ordering::Relaxed) {
            articles.is_not_behind()?;
        }
        articles.scan(query.clone()).await
    };

    let race = run_until_first_complete([
        Candidate::new(Source::Primary.name(), primary),
        Candidate::new(Source::Replica.name(), replica).after(HEAD_START),
        // Together with the replica: a primary that is well spares the service the scan.
        Candidate::new(Source::Scan.name(), scan).timeout(SCAN_LIMIT),
    ]);
    let outcome = race
        .name("search")
        .fatal(SearchError::is_our_own)
        .timeout(LIMIT)
        .winner()
        .await;
    let source = outcome
        .as_ref()
        .ok()
        .map(|winner| Source::ALL[winner.index]);
    articles.wins().count(source);
    let winner = outcome.map_err(search::problem)?;
    Ok(Json(Found {
        results: winner.value,
        served_by: Source::ALL[winner.index].name(),
    }))
}

/// How a source shall behave.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Behaviour {
    #[default]
    Ok,
    Slow,
    Stutter,
    Fail,
}

impl Behaviour {
    /// What comes before an attempt, counted from 1.
    async fn play(self, attempt: usize) -> Result<(), SearchError> {
        match self {
            Behaviour::Slow => tokio::time::sleep(2 * LIMIT).await,
            Behaviour::Stutter if attempt == 1 => tokio::time::sleep(2 * LIMIT).await,
            Behaviour::Ok | Behaviour::Stutter => {}
            Behaviour::Fail => return Err(SearchError::Trial),
        }
        Ok(())
    }
}
