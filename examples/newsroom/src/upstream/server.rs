//! The upstream API: a second router that the binary serves on a port of its own.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::get,
};
use nexios_axum::{OrProblem, Problem, method_not_allowed, not_found};
use serde::Serialize;
use sqlx::{Row, sqlite::SqliteRow};

use super::{Post, Statistics, Trial, User};
use crate::{
    Config,
    data::Place,
    sqlite::{Sqlite, SqliteError},
};

const LONGEST_DELAY: Duration = Duration::from_secs(60);
const RECENT_POSTS: u32 = 3;

const CONNECTIONS: u32 = 4;
/// Longer than any of its callers waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the upstream API: `/users/{id}`, `/posts/{id}` and `/stats/{id}`, each with `?delay_ms=` and
/// `?status=` to try what callers do when it is slow or fails.
pub fn upstream(config: &Config) -> Router {
    let primary = Place::new(&config.data).primary();
    Router::new()
        .route("/users/{id}", get(user))
        .route("/posts/{id}", get(posts))
        .route("/stats/{id}", get(statistics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Sqlite::read_only(&primary, CONNECTIONS, PATIENCE))
}

async fn user(
    State(db): State<Sqlite>,
    OrProblem(Path(id)): OrProblem<Path<u64>>,
    OrProblem(Query(trial)): OrProblem<Query<Trial>>,
) -> Result<Json<User>, Problem> {
    trial.play().await?;
    let mut db = db.reader().await?;
    let user = sqlx::query("SELECT id, name, email, joined FROM users WHERE id = ?1")
        .bind(known(id))
        .try_map(|row: SqliteRow| {
            Ok(User {
                id: row.try_get(0)?,
                name: row.try_get(1)?,
                email: row.try_get(2)?,
                joined: row.try_get(3)?,
            })
        })
        .fetch_optional(&mut *db)
        .await;
    found(user)
}

async fn posts(
    State(db): State<Sqlite>,
    OrProblem(Path(id)): OrProblem<Path<u64>>,
    OrProblem(Query(trial)): OrProblem<Query<Trial>>,
) -> Result<Json<Vec<Post>>, Problem> {
    trial.play().await?;
    let mut db = db.reader().await?;
    let posts = sqlx::query(
        "SELECT id, title, published FROM posts WHERE user_id = ?1 ORDER BY published DESC, id DESC LIMIT ?2",
    )
    .bind(known(id))
    .bind(RECENT_POSTS)
    .try_map(|row: SqliteRow| {
        Ok(Post {
            id: row.try_get(0)?,
            title: row.try_get(1)?,
            published: row.try_get(2)?,
        })
    })
    .fetch_all(&mut *db)
    .await;
    Ok(Json(posts.map_err(SqliteError::from)?))
}

async fn statistics(
    State(db): State<Sqlite>,
    OrProblem(Path(id)): OrProblem<Path<u64>>,
    OrProblem(Query(trial)): OrProblem<Query<Trial>>,
) -> Result<Json<Statistics>, Problem> {
    trial.play().await?;
    let mut db = db.reader().await?;
    let statistics =
        sqlx::query("SELECT posts, views, followers FROM statistics WHERE user_id = ?1")
            .bind(known(id))
            .try_map(|row: SqliteRow| {
                Ok(Statistics {
                    posts: row.try_get(0)?,
                    views: row.try_get(1)?,
                    followers: row.try_get(2)?,
                })
            })
            .fetch_optional(&mut *db)
            .await;
    found(statistics)
}

fn found<T: Serialize>(value: sqlx::Result<Option<T>>) -> Result<Json<T>, Problem> {
    value
        .map_err(SqliteError::from)?
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
