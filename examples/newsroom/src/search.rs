//! Three ways to search the articles.

mod query;
mod wins;

use std::time::Duration;

use nexios::{Attempt, Delay, Failure, Hedge, RaceError};
use nexios_axum::Problem;
use rusqlite::{Connection, params_from_iter};
use serde::Serialize;
use serde_json::{Value, json};

use crate::sqlite::{Sqlite, SqliteError};
pub(crate) use query::SearchQuery;
pub(crate) use wins::{Source, Wins};

const MOST_HITS: usize = 20;
/// A read of the replica that takes longer is attempted once more.
const REPLICA_PATIENCE: Duration = Duration::from_millis(100);
/// The share of replica reads that may be attempted once more for being slow.
const REPLICA_BUDGET: f64 = 0.05;

/// The articles, in the primary database and in a replica.
pub(crate) struct Articles {
    primary: Sqlite,
    replica: Sqlite,
    /// Reads change nothing, so one that is slow may be attempted again.
    replica_reads: Hedge,
    wins: Wins,
}

#[derive(Debug, Serialize)]
pub(crate) struct Hit {
    id: u64,
    title: String,
    excerpt: String,
    published: String,
}

impl Articles {
    pub(crate) fn new(primary: Sqlite, replica: Sqlite) -> Self {
        let replica_reads = Hedge::builder()
            .name("replica reads")
            .delay(Delay::Fixed(REPLICA_PATIENCE))
            .budget(REPLICA_BUDGET);
        Articles {
            primary,
            replica,
            replica_reads: replica_reads.build(),
            wins: Wins::default(),
        }
    }

    /// Who has won so far, and what came of the second attempts at the replica.
    pub(crate) fn snapshot(&self) -> Value {
        let reads = self.replica_reads.stats();
        json!({
            "wins": self.wins.snapshot(),
            "replica_reads": {
                "calls": reads.calls,
                "hedges_started": reads.hedges_started,
                "hedges_won": reads.hedges_won,
                "hedges_wasted": reads.hedges_wasted,
                "hedges_suppressed": reads.hedges_suppressed,
            },
        })
    }

    pub(crate) fn wins(&self) -> &Wins {
        &self.wins
    }

    /// Full-text search, best hits first.
    pub(crate) async fn search_primary(&self, query: SearchQuery) -> Result<Vec<Hit>, SearchError> {
        Ok(self.primary.read(move |db| full_text(db, &query)).await?)
    }

    /// The same on the replica, attempted again when it is slow; `trial` goes before each attempt.
    ///
    /// That our own threads are behind is no slowness of the replica, which a further attempt could help: none is
    /// made then, and one that was turned away is not made again.
    pub(crate) async fn search_replica<Fut>(
        &self,
        query: SearchQuery,
        trial: impl Fn(Attempt) -> Fut + Send,
    ) -> Result<Vec<Hit>, SearchError>
    where
        Fut: Future<Output = Result<(), SearchError>> + Send,
    {
        let hits = self.replica_reads.run(|attempt| {
            let (trial, query) = (trial(attempt), query.clone());
            async move {
                trial.await?;
                if attempt.number > 1 {
                    self.is_not_behind()?;
                }
                match self
                    .replica
                    .read(move |db| full_text(db, &query))
                    .await
                    .map_err(SearchError::from)
                {
                    // A value, because an error would be attempted again.
                    Err(error) if error.is_our_own() => Ok(Err(error)),
                    hits => Ok(Ok(hits?)),
                }
            }
        });
        hits.await?
    }

    /// Succeeds if work that is begun now would not wait for a thread.
    pub(crate) fn is_not_behind(&self) -> Result<(), SearchError> {
        if self.primary.is_behind() {
            Err(SearchError::Behind)
        } else {
            Ok(())
        }
    }

    /// Reads every article, for when the full-text index is of no use; newest hits first.
    pub(crate) async fn scan(&self, query: SearchQuery) -> Result<Vec<Hit>, SearchError> {
        Ok(self.primary.read(move |db| scan(db, &query)).await?)
    }
}

fn full_text(db: &Connection, query: &SearchQuery) -> rusqlite::Result<Vec<Hit>> {
    let mut statement = db.prepare_cached(
        "SELECT id, articles.title, snippet(articles_text, 1, '', '', '…', 16), published
         FROM articles_text JOIN articles ON articles.id = articles_text.rowid
         WHERE articles_text MATCH ?1 ORDER BY rank LIMIT ?2",
    )?;
    statement
        .query_map((query.full_text(), MOST_HITS), hit)?
        .collect()
}

fn scan(db: &Connection, query: &SearchQuery) -> rusqlite::Result<Vec<Hit>> {
    let patterns = query.like_patterns();
    let condition = vec![r"title || ' ' || body LIKE ? ESCAPE '\'"; patterns.len()].join(" AND ");
    let mut statement = db.prepare_cached(&format!(
        "SELECT id, title, substr(body, 1, 100) || '…', published
         FROM articles WHERE {condition} ORDER BY published DESC, id LIMIT {MOST_HITS}"
    ))?;
    statement
        .query_map(params_from_iter(patterns), hit)?
        .collect()
}

fn hit(row: &rusqlite::Row<'_>) -> rusqlite::Result<Hit> {
    Ok(Hit {
        id: row.get(0)?,
        title: row.get(1)?,
        excerpt: row.get(2)?,
        published: row.get(3)?,
    })
}

/// Why a source gave no hits.
#[derive(Debug)]
pub(crate) enum SearchError {
    Sqlite(SqliteError),
    /// No attempt at the replica gave hits.
    Replica(#[expect(dead_code, reason = "read in the log, by Debug")] RaceError<SearchError>),
    /// It was not asked, because the work there is waits already.
    Behind,
    /// Somebody tries what happens when a source fails.
    Trial,
}

impl SearchError {
    /// Whether our own threads turned the work away: another source would wait for the same ones.
    pub(crate) fn is_our_own(&self) -> bool {
        matches!(self, SearchError::Sqlite(SqliteError::Pool(_)))
    }
}

/// What a client is told whose search nobody won. One that our own threads turned away is like any work that they
/// turn away, and no line in the log.
pub(crate) fn problem(error: RaceError<SearchError>) -> Problem {
    let ours = error
        .failures()
        .iter()
        .find_map(|(_, failure)| match failure {
            Failure::Failed(SearchError::Sqlite(SqliteError::Pool(error))) => Some(*error),
            _ => None,
        });
    ours.map_or_else(|| error.into(), Problem::from)
}

impl From<SqliteError> for SearchError {
    fn from(error: SqliteError) -> Self {
        SearchError::Sqlite(error)
    }
}

impl From<RaceError<SearchError>> for SearchError {
    fn from(error: RaceError<SearchError>) -> Self {
        SearchError::Replica(error)
    }
}

impl From<query::QueryError> for Problem {
    fn from(error: query::QueryError) -> Self {
        Problem::bad_request(error.to_string())
    }
}
