//! `newsroom.db`: users, posts, statistics, articles to search and subscribers; and its replica.

use std::path::Path;

use anyhow::{Context, ensure};
use fastrand::Rng;
use futures_executor::block_on;
use sqlx::{
    Connection, Executor, SqlSafeStr, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{Progress, prose, schema::bring_up_to_date};
use crate::Sizes;

const SEED: u64 = 7;
const POSTS_A_USER: u32 = 5;
/// One address in so many cannot be mailed to, as in any real list.
const SUBSCRIBERS_A_BAD_ADDRESS: i64 = 2_000;

/// Creates the database in one transaction.
pub(crate) fn create(path: &Path, sizes: Sizes, progress: &Progress) -> anyhow::Result<()> {
    let options = of(path)
        .create_if_missing(true)
        // The file has no name yet: a crash costs the file, not the data.
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off);
    on(options, async |connection| {
        let mut random = Rng::with_seed(SEED);
        let mut transaction = connection.begin().await?;
        bring_up_to_date(&mut transaction).await?;
        users(&mut transaction, sizes.users, &mut random, progress).await?;
        articles(&mut transaction, sizes.articles, &mut random, progress).await?;
        subscribers(&mut transaction, sizes.subscribers, &mut random, progress).await?;
        transaction.commit().await?;

        // Readers do not wait for whoever writes.
        sqlx::query("PRAGMA journal_mode = WAL")
            .execute(connection)
            .await?;
        Ok(())
    })
}

/// Works on a database, and gives its file back before it returns.
fn on<T>(
    options: SqliteConnectOptions,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    // The connection works on a thread of its own, so there is nothing here that a runtime would be needed for.
    block_on(async {
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let done = work(&mut connection).await;
        connection.close().await?;
        done
    })
}

/// What is read of each table; a database of something else has other ones.
const PRIMARY: [&str; 5] = [
    "SELECT id, name, email, joined FROM users",
    "SELECT id, user_id, title, published FROM posts",
    "SELECT user_id, posts, views, followers FROM statistics",
    "SELECT id, name, email FROM subscribers",
    "SELECT newsletter_id, subscriber_id, state, error, updated FROM deliveries",
];
const ARTICLES: [&str; 2] = [
    "SELECT id, title, body, published FROM articles",
    "SELECT rowid, title, body FROM articles_text",
];
const NEWSLETTERS: &str =
    "SELECT id, subject, body, created, state, total, sent, failed, in_doubt FROM newsletters";

/// Checks `newsroom.db`, and brings an older one up to date.
pub(crate) fn check_primary(path: &Path) -> anyhow::Result<()> {
    on(of(path), async |connection| {
        whole(connection).await?;
        // First, or an empty database would be taken for one that needs nothing but its tables.
        readable(connection, &ARTICLES).await?;
        readable(connection, &PRIMARY).await?;
        let mut transaction = connection.begin().await?;
        bring_up_to_date(&mut transaction).await?;
        readable(&mut transaction, &[NEWSLETTERS]).await?;
        Ok(transaction.commit().await?)
    })
}

pub(crate) fn check_replica(path: &Path) -> anyhow::Result<()> {
    on(of(path).read_only(true), async |connection| {
        whole(connection).await?;
        Ok(readable(connection, &ARTICLES).await?)
    })
}

fn of(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path)
}

/// Finds what was cut off or overwritten, without a look into every index.
async fn whole(db: &mut SqliteConnection) -> anyhow::Result<()> {
    let check = sqlx::query_scalar("PRAGMA quick_check(1)");
    let verdict: String = check.fetch_one(db).await?;
    ensure!(verdict == "ok", "{verdict}");
    Ok(())
}

async fn readable(db: &mut SqliteConnection, queries: &[&'static str]) -> sqlx::Result<()> {
    for query in queries {
        db.prepare(query.into_sql_str()).await?;
    }
    Ok(())
}

/// Copies a database to a new file.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let to = to.to_str().context("its name is no text")?;
    on(of(from), async |connection| {
        let copy = sqlx::query("VACUUM INTO ?1").bind(to);
        copy.execute(connection).await?;
        Ok(())
    })
}

async fn users(
    db: &mut SqliteConnection,
    count: u64,
    random: &mut Rng,
    progress: &Progress,
) -> sqlx::Result<()> {
    for id in 1..=count.cast_signed() {
        let (first, last) = prose::person(random);
        let email = format!(
            "{}.{}.{id}@example.org",
            first.to_lowercase(),
            last.to_lowercase()
        );
        sqlx::query("INSERT INTO users (id, name, email, joined) VALUES (?1, ?2, ?3, ?4)")
            .bind(id)
            .bind(format!("{first} {last}"))
            .bind(email)
            .bind(date(random))
            .execute(&mut *db)
            .await?;
        for _ in 0..POSTS_A_USER {
            sqlx::query("INSERT INTO posts (user_id, title, published) VALUES (?1, ?2, ?3)")
                .bind(id)
                .bind(prose::headline(random))
                .bind(date(random))
                .execute(&mut *db)
                .await?;
        }
        sqlx::query(
            "INSERT INTO statistics (user_id, posts, views, followers) VALUES (?1, ?2, ?3, ?4)",
        )
        .bind(id)
        .bind(POSTS_A_USER)
        .bind(random.u32(100..100_000))
        .bind(random.u32(1..5_000))
        .execute(&mut *db)
        .await?;
        progress.advance(1);
    }
    Ok(())
}

async fn articles(
    db: &mut SqliteConnection,
    count: u64,
    random: &mut Rng,
    progress: &Progress,
) -> sqlx::Result<()> {
    for id in 1..=count.cast_signed() {
        sqlx::query("INSERT INTO articles (id, title, body, published) VALUES (?1, ?2, ?3, ?4)")
            .bind(id)
            .bind(prose::headline(random))
            .bind(prose::story(random))
            .bind(date(random))
            .execute(&mut *db)
            .await?;
        progress.advance(1);
    }
    sqlx::query("INSERT INTO articles_text (articles_text) VALUES ('rebuild')")
        .execute(db)
        .await?;
    Ok(())
}

async fn subscribers(
    db: &mut SqliteConnection,
    count: u64,
    random: &mut Rng,
    progress: &Progress,
) -> sqlx::Result<()> {
    for id in 1..=count.cast_signed() {
        let (first, last) = prose::person(random);
        let at = if id % SUBSCRIBERS_A_BAD_ADDRESS == 0 {
            " at "
        } else {
            "@"
        };
        let email = format!("{}.{id}{at}example.org", first.to_lowercase());
        sqlx::query("INSERT INTO subscribers (id, name, email) VALUES (?1, ?2, ?3)")
            .bind(id)
            .bind(format!("{first} {last}"))
            .bind(email)
            .execute(&mut *db)
            .await?;
        progress.advance(1);
    }
    Ok(())
}

fn date(random: &mut Rng) -> String {
    format!("2025-{:02}-{:02}", random.u8(1..=12), random.u8(1..=28))
}
