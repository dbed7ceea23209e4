//! `newsroom.db`: users, posts, statistics, articles to search and subscribers; and its replica.

use std::path::Path;

use anyhow::ensure;
use fastrand::Rng;
use rusqlite::{Connection, OpenFlags, Transaction, params};

use super::{Progress, prose, schema::bring_up_to_date};
use crate::Sizes;

const SEED: u64 = 7;
const POSTS_A_USER: u64 = 5;
/// One address in so many cannot be mailed to, as in any real list.
const SUBSCRIBERS_A_BAD_ADDRESS: u64 = 2_000;

/// Creates the database in one transaction.
pub(crate) fn create(path: &Path, sizes: Sizes, progress: &Progress) -> anyhow::Result<()> {
    let mut connection = open(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    )?;
    // The file has no name yet: a crash costs the file, not the data.
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;

    let mut random = Rng::with_seed(SEED);
    let transaction = connection.transaction()?;
    bring_up_to_date(&transaction)?;
    users(&transaction, sizes.users, &mut random, progress)?;
    articles(&transaction, sizes.articles, &mut random, progress)?;
    subscribers(&transaction, sizes.subscribers, &mut random, progress)?;
    transaction.commit()?;

    // Readers and the writer of deliveries do not wait for each other.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
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
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    whole(&connection)?;
    // First, or an empty database would be taken for one that needs nothing but its tables.
    readable(&connection, &ARTICLES)?;
    readable(&connection, &PRIMARY)?;
    let transaction = connection.transaction()?;
    bring_up_to_date(&transaction)?;
    readable(&transaction, &[NEWSLETTERS])?;
    Ok(transaction.commit()?)
}

pub(crate) fn check_replica(path: &Path) -> anyhow::Result<()> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    whole(&connection)?;
    Ok(readable(&connection, &ARTICLES)?)
}

fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

/// Finds what was cut off or overwritten, without a look into every index.
fn whole(db: &Connection) -> anyhow::Result<()> {
    let verdict: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    ensure!(verdict == "ok", "{verdict}");
    Ok(())
}

fn readable(db: &Connection, queries: &[&str]) -> rusqlite::Result<()> {
    queries
        .iter()
        .try_for_each(|query| db.prepare(query).map(drop))
}

/// Copies a database to a new file.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    // As bytes: a folder may have a name that is no text.
    let to = to.as_os_str().as_encoded_bytes();
    open(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?.execute("VACUUM INTO CAST(?1 AS TEXT)", [to])?;
    Ok(())
}

fn users(
    db: &Transaction<'_>,
    count: u64,
    random: &mut Rng,
    progress: &Progress,
) -> rusqlite::Result<()> {
    let mut user =
        db.prepare("INSERT INTO users (id, name, email, joined) VALUES (?1, ?2, ?3, ?4)")?;
    let mut post =
        db.prepare("INSERT INTO posts (user_id, title, published) VALUES (?1, ?2, ?3)")?;
    let mut statistics = db.prepare(
        "INSERT INTO statistics (user_id, posts, views, followers) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for id in 1..=count {
        let (first, last) = prose::person(random);
        let email = format!(
            "{}.{}.{id}@example.org",
            first.to_lowercase(),
            last.to_lowercase()
        );
        user.execute(params![id, format!("{first} {last}"), email, date(random)])?;
        for _ in 0..POSTS_A_USER {
            post.execute(params![id, prose::headline(random), date(random)])?;
        }
        statistics.execute(params![
            id,
            POSTS_A_USER,
            random.u32(100..100_000),
            random.u32(1..5_000)
        ])?;
        progress.advance(1);
    }
    Ok(())
}

fn articles(
    db: &Transaction<'_>,
    count: u64,
    random: &mut Rng,
    progress: &Progress,
) -> rusqlite::Result<()> {
    let mut article =
        db.prepare("INSERT INTO articles (id, title, body, published) VALUES (?1, ?2, ?3, ?4)")?;
    for id in 1..=count {
        article.execute(params![
            id,
            prose::headline(random),
            prose::story(random),
            date(random)
        ])?;
        progress.advance(1);
    }
    db.execute(
        "INSERT INTO articles_text (articles_text) VALUES ('rebuild')",
        [],
    )?;
    Ok(())
}

fn subscribers(
    db: &Transaction<'_>,
    count: u64,
    random: &mut Rng,
    progress: &Progress,
) -> rusqlite::Result<()> {
    let mut subscriber =
        db.prepare("INSERT INTO subscribers (id, name, email) VALUES (?1, ?2, ?3)")?;
    for id in 1..=count {
        let (first, last) = prose::person(random);
        let at = if id % SUBSCRIBERS_A_BAD_ADDRESS == 0 {
            " at "
        } else {
            "@"
        };
        let email = format!("{}.{id}{at}example.org", first.to_lowercase());
        subscriber.execute(params![id, format!("{first} {last}"), email])?;
        progress.advance(1);
    }
    Ok(())
}

fn date(random: &mut Rng) -> String {
    format!("2025-{:02}-{:02}", random.u8(1..=12), random.u8(1..=28))
}
