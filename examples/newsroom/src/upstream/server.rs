//! The upstream API: a second router that the binary serves on a port of its own.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::get,
};
use nexios::ThreadPool;
use nexios_axum::{OrProblem, Problem, method_not_allowed, not_found};
use rusqlite::OptionalExtension;
use serde::Serialize;

use super::{Post, Statistics, Trial, User};
use crate::{Config, data::Place, sqlite::Sqlite};

const LONGEST_DELAY: Duration = Duration::from_secs(60);
const RECENT_POSTS: u32 = 3;

/// Makes the upstream API: `/users/{id}`, `/posts/{id}` and `/stats/{id}`, each with `?delay_ms=` and
/// `?status=` to try what callers do when it is slow or fails.
pub fn upstream(config: &Config) -> Router {
    let threads = ThreadPool::builder()
        .name("upstream")
        .threads(4)
        .queue(256)
        .build();
    Router::new()
        .route("/users/{id}", get(user))
        .route("/posts/{id}", get(posts))
        .route("/stats/{id}", get(statistics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Sqlite::read_only(
            Place::new(&config.data).primary(),
            threads,
        ))
}

async fn user(
    State(db): State<Sqlite>,
    OrProblem(Path(id)): OrProblem<Path<u64>>,
    OrProblem(Query(trial)): OrProblem<Query<Trial>>,
) -> Result<Json<User>, Problem> {
    trial.play().await?;
    let user = db.read(move |db| {
        let mut query =
            db.prepare_cached("SELECT id, name, email, joined FROM users WHERE id = ?1")?;
        let row = query.query_row([known(id)], |row| {
            Ok(User {
                id: row.get(0)?,
                name: row.get(1)?,
                email: row.get(2)?,
                joined: row.get(3)?,
            })
        });
        row.optional()
    });
    found(user.await?)
}

async fn posts(
    State(db): State<Sqlite>,
    OrProblem(Path(id)): OrProblem<Path<u64>>,
    OrProblem(Query(trial)): OrProblem<Query<Trial>>,
) -> Result<Json<Vec<Post>>, Problem> {
    trial.play().await?;
    let posts = db.read(move |db| {
        let mut query = db.prepare_cached(
            "SELECT id, title, published FROM posts WHERE user_id = ?1 ORDER BY published DESC, id DESC LIMIT ?2",
        )?;
        let rows = query.query_map((known(id), RECENT_POSTS), |row| {
            Ok(Post { id: row.get(0)?, title: row.get(1)?, published: row.get(2)? })
        })?;
        rows.collect()
    });
    Ok(Json(posts.await?))
}

async fn statistics(
    State(db): State<Sqlite>,
    OrProblem(Path(id)): OrProblem<Path<u64>>,
    OrProblem(Query(trial)): OrProblem<Query<Trial>>,
) -> Result<Json<Statistics>, Problem> {
    trial.play().await?;
    let statistics = db.read(move |db| {
        let mut query =
            db.prepare_cached("SELECT posts, views, followers FROM statistics WHERE user_id = ?1")?;
        let row = query.query_row([known(id)], |row| {
            Ok(Statistics {
                posts: row.get(0)?,
                views: row.get(1)?,
                followers: row.get(2)?,
            })
        });
        row.optional()
    });
    found(statistics.await?)
}

fn found<T: Serialize>(value: Option<T>) -> Result<Json<T>, Problem> {
    value
        .map(Json)
        .ok_or_else(|| Problem::not_found("There is no such user."))
}

/// SQLite counts to `i64::MAX`; nobody has an id beyond it, and nobody has id 0.
fn known(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(0)
}

impl Trial {
    /// Waits, then fails, as asked.
    async fn play(self) -> Result<(), Problem> {
        self.check().map_err(Problem::bad_request)?;
        if let Some(delay) = self.delay_ms {
            tokio::time::sleep(Duration::from_millis(delay).min(LONGEST_DELAY)).await;
        }
        match self.status.map(StatusCode::from_u16) {
            Some(Ok(status)) => Err(Problem::new(status).detail("As you asked.")),
            _ => Ok(()),
        }
    }
}
