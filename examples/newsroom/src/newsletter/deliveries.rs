//! Who got which newsletter, in SQLite.

use super::subscriber::Subscriber;
use crate::sqlite::{Sqlite, SqliteError};

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Sent,
    Failed,
    InDoubt,
    /// Refused for now, to be tried again.
    Deferred,
}

impl Fate {
    pub(crate) fn state(self) -> &'static str {
        match self {
            Fate::Sent => "sent",
            Fate::Failed => "failed",
            Fate::InDoubt => "in doubt",
            Fate::Deferred => "deferred",
        }
    }
}

#[derive(Clone)]
pub(crate) struct Deliveries(Sqlite);

impl Deliveries {
    pub(crate) fn new(db: Sqlite) -> Self {
        Deliveries(db)
    }

    /// Subscribers in the order of their ids, those after `last`.
    pub(crate) async fn subscribers_after(
        &self,
        last: i64,
        most: usize,
    ) -> Result<Vec<Subscriber>, SqliteError> {
        let page = self.0.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT id, name, email FROM subscribers WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            query.query_map((last, most), Subscriber::of)?.collect()
        });
        page.await
    }

    /// The same, of those whose delivery is deferred.
    pub(crate) async fn deferred_after(
        &self,
        newsletter: u64,
        last: i64,
        most: usize,
    ) -> Result<Vec<Subscriber>, SqliteError> {
        let page = self.0.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT id, name, email FROM deliveries JOIN subscribers ON id = subscriber_id
                 WHERE newsletter_id = ?1 AND subscriber_id > ?2 AND state = 'deferred'
                 ORDER BY subscriber_id LIMIT ?3",
            )?;
            query
                .query_map((newsletter, last, most), Subscriber::of)?
                .collect()
        });
        page.await
    }

    /// Makes the delivery ours; false when the subscriber has gone meanwhile and is no longer counted. It is an error
    /// when it already was somebody's.
    pub(crate) async fn claim(
        &self,
        newsletter: u64,
        subscriber: i64,
    ) -> Result<bool, SqliteError> {
        let claim = self.0.write(move |db| {
            let mut find = db.prepare_cached("SELECT TRUE FROM subscribers WHERE id = ?1")?;
            if !find.exists([subscriber])? {
                let mut forget =
                    db.prepare_cached("UPDATE newsletters SET total = total - 1 WHERE id = ?1")?;
                forget.execute([newsletter])?;
                return Ok(false);
            }
            // No row comes back when there is one that may not be taken.
            let mut insert = db.prepare_cached(
                "INSERT INTO deliveries (newsletter_id, subscriber_id, state) VALUES (?1, ?2, 'sending')
                 ON CONFLICT DO UPDATE SET state = 'sending', error = NULL, updated = CURRENT_TIMESTAMP
                 WHERE state = 'deferred' RETURNING TRUE",
            )?;
            insert.query_row((newsletter, subscriber), |_| Ok(true))
        });
        claim.await
    }

    /// Gives the claim back: the mail did not go out.
    pub(crate) async fn release(
        &self,
        newsletter: u64,
        subscriber: i64,
    ) -> Result<(), SqliteError> {
        let release = self.0.write(move |db| {
            let mut delete = db.prepare_cached(
                "DELETE FROM deliveries WHERE newsletter_id = ?1 AND subscriber_id = ?2 AND state = 'sending'",
            )?;
            delete.execute((newsletter, subscriber))
        });
        release.await.map(drop)
    }

    /// Writes down what became of the delivery, and counts it.
    pub(crate) async fn settle(
        &self,
        newsletter: u64,
        subscriber: i64,
        fate: Fate,
        error: Option<String>,
    ) -> Result<(), SqliteError> {
        let settle = self.0.write(move |db| {
            db.prepare_cached(
                "UPDATE deliveries SET state = ?3, error = ?4, updated = CURRENT_TIMESTAMP
                 WHERE newsletter_id = ?1 AND subscriber_id = ?2",
            )?
            .execute((newsletter, subscriber, fate.state(), error))?;
            db.prepare_cached(
                "UPDATE newsletters SET sent = sent + (?2 = 'sent'), failed = failed + (?2 = 'failed'),
                 in_doubt = in_doubt + (?2 = 'in doubt') WHERE id = ?1",
            )?
            .execute((newsletter, fate.state()))?;
            Ok(())
        });
        settle.await
    }
}
