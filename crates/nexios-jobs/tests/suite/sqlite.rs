//! What only an SQLite file can show: outages, schemas, transactions of the caller's own.

mod outages;
mod schema;
mod transactions;
mod waking;
