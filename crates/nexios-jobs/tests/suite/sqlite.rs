//! What only an SQLite file can show: what is said as it is opened, outages, schemas, transactions of the caller's own.

mod opening;
mod outages;
mod schema;
mod transactions;
mod waking;
