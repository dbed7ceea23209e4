//! Who gets newsletters.

use rusqlite::{Row, types::ValueRef};

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
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Subscriber {
            id: row.get(0)?,
            name: text(row.get_ref(1)?),
            email: text(row.get_ref(2)?),
        })
    }
}

/// SQLite keeps anything in a column for text, and one odd row must not cost all others their mail.
fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Null => String::new(),
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
        let plan = self.0.read(|db| {
            let total = db.query_row("SELECT count(*) FROM subscribers", [], |row| row.get(0))?;
            let mut ends = db.prepare_cached(
                "SELECT max(id) FROM
                     (SELECT id, (row_number() OVER (ORDER BY id) - 1) / ?1 AS part FROM subscribers)
                 GROUP BY part ORDER BY part",
            )?;
            let ends = ends.query_map([part::SUBSCRIBERS], |row| row.get(0))?;
            Ok((total, ends.collect::<rusqlite::Result<_>>()?))
        });
        plan.await
    }

    /// The numbers of those in a part, in their order.
    pub(super) async fn of(&self, part: &Part) -> Result<Vec<i64>, SqliteError> {
        let (after, up_to) = (part.after, part.up_to);
        let ids = self.0.read(move |db| {
            let mut ids = db.prepare_cached(
                "SELECT id FROM subscribers WHERE id > ?1 AND id <= ?2 ORDER BY id",
            )?;
            ids.query_map([after, up_to], |row| row.get(0))?.collect()
        });
        ids.await
    }

    /// One of them; none who has unsubscribed.
    pub(super) async fn get(&self, id: i64) -> Result<Option<Subscriber>, SqliteError> {
        let subscriber = self.0.read(move |db| {
            let mut one =
                db.prepare_cached("SELECT id, name, email FROM subscribers WHERE id = ?1")?;
            one.query_map([id], Subscriber::of)?.next().transpose()
        });
        subscriber.await
    }
}
