//! The connections of one store that calls are made on.
//!
//! Not the driver's pool, which asks a connection whether it is sound when it is taken and once more when it comes back: two
//! round trips more than the one of a step.
//!
//! # Invariants
//!
//! 1. A connection is out of its place while it is used, and comes back only after a success: one whose state nobody knows is
//!    closed, which rolls back.
//! 2. There are never more than [`MOST`].
//! 3. One that has lain idle is asked whether it still is one, so that a restart of the database fails no later call.

use std::{fmt, sync::Mutex, time::Duration};

use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    clock::millis,
    error::{DatabaseError, JobsError},
    lock::lock,
};

use super::fault::fault;

/// How many there may be.
const MOST: usize = 4;

/// For how long one that was just used is taken for sound.
const SOUND: Duration = Duration::from_secs(1);

/// The longest limit that Postgres knows, in milliseconds.
const LONGEST: i64 = i32::MAX as i64;

pub(super) struct Connections {
    options: PgConnectOptions,
    /// How long the database may take for one statement: one that nobody waits for any more ends there as well.
    limit: Duration,
    places: Semaphore,
    idle: Mutex<Vec<(PgConnection, Instant)>>,
}

impl Connections {
    pub(super) fn new(options: PgConnectOptions, limit: Duration) -> Self {
        Self {
            options,
            limit,
            places: Semaphore::new(MOST),
            idle: Mutex::default(),
        }
    }

    /// Does something on a connection, which is kept for others if it works.
    pub(super) async fn with<T>(
        &self,
        call: impl AsyncFnOnce(&mut PgConnection) -> Result<T, JobsError>,
    ) -> Result<T, JobsError> {
        let _place = self.places.acquire().await.map_err(closed)?;
        let mut connection = self.sound().await?;
        let result = call(&mut connection).await?;
        lock(&self.idle).push((connection, Instant::now()));
        Ok(result)
    }

    /// The one that was used last, so that those that are not needed are found out.
    async fn sound(&self) -> Result<PgConnection, JobsError> {
        loop {
            let idle = lock(&self.idle).pop();
            let Some((mut connection, used)) = idle else {
                return self.connect().await.map_err(fault);
            };
            if used.elapsed() < SOUND || connection.ping().await.is_ok() {
                return Ok(connection);
            }
        }
    }

    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        sqlx::query("SELECT set_config('statement_timeout', $1, false)")
            .bind(format!("{}ms", millis(self.limit).clamp(1, LONGEST)))
            .execute(&mut connection)
            .await?;
        Ok(connection)
    }
}

fn closed(error: tokio::sync::AcquireError) -> JobsError {
    JobsError::Unavailable(DatabaseError::new(error))
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}
