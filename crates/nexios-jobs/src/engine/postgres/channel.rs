//! How processes that share a database tell each other of changes.

use sqlx::PgConnection;

use crate::error::JobsError;

use super::fault::fault;

/// Told of what is not in graphile-worker's own channel.
pub(super) const CHANNEL: &str = "nexios_jobs";

/// Tells the other processes when the transaction commits.
pub(super) async fn tell(connection: &mut PgConnection) -> Result<(), JobsError> {
    sqlx::query("SELECT pg_notify($1, '')")
        .bind(CHANNEL)
        .execute(connection)
        .await
        .map_err(fault)
        .map(drop)
}
