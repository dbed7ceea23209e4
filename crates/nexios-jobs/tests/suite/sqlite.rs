//! What only an SQLite file can show: real processes, outages, schemas, transactions of the caller's own.

mod outages;
mod processes;
mod schema;
mod transactions;
