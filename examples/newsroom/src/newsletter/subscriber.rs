//! Who gets newsletters.

use rusqlite::{Row, types::ValueRef};

#[derive(Debug)]
pub(crate) struct Subscriber {
    /// The smallest ones are below zero.
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) email: String,
}

impl Subscriber {
    pub(crate) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
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
