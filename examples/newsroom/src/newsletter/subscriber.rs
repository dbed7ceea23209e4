//! Who gets newsletters.

use sqlx::{Row, sqlite::SqliteRow};

use super::part::{self, Part};
use crate::sqlite::{Sqlite, SqliteError};

#[derive(Debug)]
pub(super) struct Subscriber {
    /// The smallest ones are below zero.
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) email: String,
}

impl Subscriber {
    fn of(row: &SqliteRow) -> sqlx::Result<Self> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Subscriber {
            id: row.try_get(0)?,
            name: row.try_get(1).map(text)?,
            email: row.try_get(2).map(text)?,
        })
    }
}

/// The list of all. Services that send newsletters together have the same one, each in its own data.
#[derive(Clone)]
pub(super) struct Subscribers(Sqlite);

impl Subscribers {
    pub(super) fn new(db: Sqlite) -> Self {
        Subscribers(db)
    }

    /// How many there are, and with which ones parts of the list end.
    pub(super) async fn plan(&self) -> Result<(u64, Vec<i64>), SqliteError> {
        let mut db = self.0.reader().await?;
        let parts: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT count(*), max(id) FROM
                 (SELECT id, (row_number() OVER (ORDER BY id) - 1) / ?1 AS part FROM subscribers)
             GROUP BY part ORDER BY part",
        )
        .bind(part::SUBSCRIBERS)
        .fetch_all(&mut *db)
        .await?;
        let total: i64 = parts.iter().map(|(count, _)| count).sum();
        let ends = parts.into_iter().map(|(_, end)| end).collect();
        Ok((total.cast_unsigned(), ends))
    }

    /// The numbers of those in a part, in their order.
    pub(super) async fn of(&self, part: &Part) -> Result<Vec<i64>, SqliteError> {
        let mut db = self.0.reader().await?;
        let ids = "SELECT id FROM subscribers WHERE id > ?1 AND id <= ?2 ORDER BY id";
        let ids = sqlx::query_scalar(ids)
            .bind(part.after)
            .bind(part.up_to)
            .fetch_all(&mut *db);
        Ok(ids.await?)
    }

    /// One of them; none who has unsubscribed.
    pub(super) async fn get(&self, id: i64) -> Result<Option<Subscriber>, SqliteError> {
        let mut db = self.0.reader().await?;
        // As bytes: SQLite keeps anything in a column for text, and one odd row must not cost all others their mail.
        let one = sqlx::query(
            "SELECT id, CAST(coalesce(name, '') AS BLOB), CAST(coalesce(email, '') AS BLOB)
             FROM subscribers WHERE id = ?1",
        );
        let row = one.bind(id).fetch_optional(&mut *db).await?;
        Ok(row.as_ref().map(Subscriber::of).transpose()?)
    }
}
