//! Who got which newsletter, in SQLite.

use super::Letter;
use crate::sqlite::{Sqlite, SqliteError};

#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) email: String,
}

#[derive(Clone)]
pub(crate) struct Deliveries(Sqlite);

impl Deliveries {
    pub(crate) fn new(db: Sqlite) -> Self {
        Deliveries(db)
    }

    pub(crate) async fn subscribers(&self) -> Result<u64, SqliteError> {
        self.0.read(|db| db.query_row("SELECT count(*) FROM subscribers", [], |row| row.get(0))).await
    }

    pub(crate) async fn subscribers_after(
        &self,
        last: u64,
        most: usize,
    ) -> Result<Vec<Subscriber>, SqliteError> {
        let page = self.0.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT id, name, email FROM subscribers WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let rows = query.query_map((last, most), |row| {
                Ok(Subscriber { id: row.get(0)?, name: row.get(1)?, email: row.get(2)? })
            })?;
            rows.collect()
        });
        page.await
    }

    /// Stores a newsletter and returns its id.
    pub(crate) async fn record(&self, letter: Letter) -> Result<u64, SqliteError> {
        let id = self.0.write(move |db| {
            let insert = "INSERT INTO newsletters (subject, body) VALUES (?1, ?2) RETURNING id";
            db.query_row(insert, (letter.subject, letter.body), |row| row.get(0))
        });
        id.await
    }

    /// Makes the delivery ours; it is an error when it already was somebody's.
    pub(crate) async fn claim(&self, newsletter: u64, subscriber: u64) -> Result<(), SqliteError> {
        let claim = self.0.write(move |db| {
            let mut insert = db.prepare_cached(
                "INSERT INTO deliveries (newsletter_id, subscriber_id, state) VALUES (?1, ?2, 'sending')",
            )?;
            insert.execute((newsletter, subscriber))
        });
        claim.await.map(drop)
    }

    pub(crate) async fn sent(&self, newsletter: u64, subscriber: u64) -> Result<(), SqliteError> {
        self.end(newsletter, subscriber, "sent", None).await
    }

    pub(crate) async fn failed(
        &self,
        newsletter: u64,
        subscriber: u64,
        error: String,
    ) -> Result<(), SqliteError> {
        self.end(newsletter, subscriber, "failed", Some(error)).await
    }

    async fn end(
        &self,
        newsletter: u64,
        subscriber: u64,
        state: &'static str,
        error: Option<String>,
    ) -> Result<(), SqliteError> {
        let end = self.0.write(move |db| {
            let mut update = db.prepare_cached(
                "UPDATE deliveries SET state = ?3, error = ?4, updated = CURRENT_TIMESTAMP
                 WHERE newsletter_id = ?1 AND subscriber_id = ?2",
            )?;
            update.execute((newsletter, subscriber, state, error))
        });
        end.await.map(drop)
    }
}
