//! Three ways to search the articles.

mod query;
mod wins;

use std::time::Duration;

use nexios::{Attempt, Delay, Failure, Hedge, RaceError};
use nexios_axum::Problem;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row, sqlite::SqliteRow};

use crate::sqlite::{Sqlite, SqliteError};
pub(crate) use query::SearchQuery;
pub(crate) use wins::{Source, Wins};

const MOST_HITS: u32 = 20;
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

impl Hit {
    fn of(row: SqliteRow) -> sqlx::Result<Self> {
        Ok(Hit {
            id: row.try_get(0)?,
            title: row.try_get(1)?,
            excerpt: row.try_get(2)?,
            published: row.try_get(3)?,
        })
    }
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
        full_text(&self.primary, &query).await
    }

    /// The same on the replica, attempted again when it is slow; `trial` goes before each attempt.
    ///
    /// That all connections are in use is no slowness of the replica, which a further attempt could help: none is
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
                    is_not_behind(&self.replica)?;
                }
                match full_text(&self.replica, &query).await {
                    // A value, because an error would be attempted again.
                    Err(error) if error.is_our_own() => Ok(Err(error)),
                    hits => Ok(Ok(hits?)),
                }
            }
        });
        hits.await?
    }

    /// Succeeds if work on the primary that is begun now would not wait for a connection.
    pub(crate) fn is_not_behind(&self) -> Result<(), SearchError> {
        is_not_behind(&self.primary)
    }

    /// Reads every article, for when the full-text index is of no use; newest hits first.
    pub(crate) async fn scan(&self, query: SearchQuery) -> Result<Vec<Hit>, SearchError> {
        let patterns = query.like_patterns();
        let condition =
            vec![r"title || ' ' || body LIKE ? ESCAPE '\'"; patterns.len()].join(" AND ");
        let scan = format!(
            "SELECT id, title, substr(body, 1, 100) || '…', published
             FROM articles WHERE {condition} ORDER BY published DESC, id LIMIT {MOST_HITS}"
        );
        let scan = patterns
            .into_iter()
            .fold(sqlx::query(AssertSqlSafe(scan)), |scan, pattern| {
                scan.bind(pattern)
            });
        let mut db = self.primary.reader().await?;
        Ok(scan.try_map(Hit::of).fetch_all(&mut *db).await?)
    }
}

fn is_not_behind(db: &Sqlite) -> Result<(), SearchError> {
    if db.is_behind() {
        Err(SearchError::Behind)
    } else {
        Ok(())
    }
}

async fn full_text(db: &Sqlite, query: &SearchQuery) -> Result<Vec<Hit>, SearchError> {
    let mut db = db.reader().await?;
    let hits = sqlx::query(
        "SELECT id, articles.title, snippet(articles_text, 1, '', '', '…', 16), published
         FROM articles_text JOIN articles ON articles.id = articles_text.rowid
         WHERE articles_text MATCH ?1 ORDER BY rank LIMIT ?2",
    );
    Ok(hits
        .bind(query.full_text())
        .bind(MOST_HITS)
        .try_map(Hit::of)
        .fetch_all(&mut *db)
        .await?)
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
    /// Whether we turned the work away ourselves: with that much of it another source would be no help.
    pub(crate) fn is_our_own(&self) -> bool {
        matches!(self, SearchError::Sqlite(SqliteError::Busy))
    }
}

/// What a client is told whose search nobody won. One that we turned away ourselves is like any such work, and no line in
/// the log.
pub(crate) fn problem(error: RaceError<SearchError>) -> Problem {
    let is_our_own = |failure: &Failure<SearchError>| match failure {
        Failure::Failed(error) => error.is_our_own(),
        _ => false,
    };
    if error
        .failures()
        .iter()
        .any(|(_, failure)| is_our_own(failure))
    {
        return SqliteError::Busy.into();
    }
    error.into()
}

impl From<SqliteError> for SearchError {
    fn from(error: SqliteError) -> Self {
        SearchError::Sqlite(error)
    }
}

impl From<sqlx::Error> for SearchError {
    fn from(error: sqlx::Error) -> Self {
        SearchError::Sqlite(error.into())
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
