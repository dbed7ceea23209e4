//! Who gets newsletters.

use rusqlite::Row;

#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) email: String,
}

impl Subscriber {
    pub(crate) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Subscriber { id: row.get(0)?, name: row.get(1)?, email: row.get(2)? })
    }
}
