//! `newsroom.db`: users, posts, statistics, articles to search and subscribers.

use std::path::Path;

use fastrand::Rng;
use rusqlite::{Connection, Transaction, params};

use super::{Progress, prose};
use crate::Sizes;

const SEED: u64 = 7;
const POSTS_A_USER: u64 = 5;
/// One address in so many cannot be mailed to, as in any real list.
const SUBSCRIBERS_A_BAD_ADDRESS: u64 = 2_000;

/// Creates the database in one transaction.
pub(crate) fn create(path: &Path, sizes: Sizes, progress: &Progress) -> anyhow::Result<()> {
    let mut connection = Connection::open(path)?;
    // The file has no name yet: a crash costs the file, not the data.
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;

    let mut random = Rng::with_seed(SEED);
    let transaction = connection.transaction()?;
    transaction.execute_batch(include_str!("schema.sql"))?;
    users(&transaction, sizes.users, &mut random, progress)?;
    articles(&transaction, sizes.articles, &mut random, progress)?;
    subscribers(&transaction, sizes.subscribers, &mut random, progress)?;
    transaction.commit()?;

    // Readers and the writer of deliveries do not wait for each other.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// Copies a database to a new file.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    Connection::open(from)?.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
    Ok(())
}

fn users(db: &Transaction<'_>, count: u64, random: &mut Rng, progress: &Progress) -> rusqlite::Result<()> {
    let mut user = db.prepare("INSERT INTO users (id, name, email, joined) VALUES (?1, ?2, ?3, ?4)")?;
    let mut post = db.prepare("INSERT INTO posts (user_id, title, published) VALUES (?1, ?2, ?3)")?;
    let mut statistics =
        db.prepare("INSERT INTO statistics (user_id, posts, views, followers) VALUES (?1, ?2, ?3, ?4)")?;
    for id in 1..=count {
        let (first, last) = prose::person(random);
        let email = format!("{}.{}.{id}@example.org", first.to_lowercase(), last.to_lowercase());
        user.execute(params![id, format!("{first} {last}"), email, date(random)])?;
        for _ in 0..POSTS_A_USER {
            post.execute(params![id, prose::headline(random), date(random)])?;
        }
        statistics.execute(params![id, POSTS_A_USER, random.u32(100..100_000), random.u32(1..5_000)])?;
        progress.advance(1);
    }
    Ok(())
}

fn articles(db: &Transaction<'_>, count: u64, random: &mut Rng, progress: &Progress) -> rusqlite::Result<()> {
    let mut article =
        db.prepare("INSERT INTO articles (id, title, body, published) VALUES (?1, ?2, ?3, ?4)")?;
    for id in 1..=count {
        article.execute(params![id, prose::headline(random), prose::story(random), date(random)])?;
        progress.advance(1);
    }
    db.execute("INSERT INTO articles_text (articles_text) VALUES ('rebuild')", [])?;
    Ok(())
}

fn subscribers(
    db: &Transaction<'_>,
    count: u64,
    random: &mut Rng,
    progress: &Progress,
) -> rusqlite::Result<()> {
    let mut subscriber = db.prepare("INSERT INTO subscribers (id, name, email) VALUES (?1, ?2, ?3)")?;
    for id in 1..=count {
        let (first, last) = prose::person(random);
        let at = if id % SUBSCRIBERS_A_BAD_ADDRESS == 0 { " at " } else { "@" };
        let email = format!("{}.{id}{at}example.org", first.to_lowercase());
        subscriber.execute(params![id, format!("{first} {last}"), email])?;
        progress.advance(1);
    }
    Ok(())
}

fn date(random: &mut Rng) -> String {
    format!("2025-{:02}-{:02}", random.u8(1..=12), random.u8(1..=28))
}
