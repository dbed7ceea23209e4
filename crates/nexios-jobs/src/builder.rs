use std::{sync::Arc, time::Duration};

use crate::{engine::memory::MemoryEngine, error::JobsError, jobs::Jobs};

/// Says the `traceparent` of what runs right now.
pub(crate) type Traceparent = fn() -> Option<String>;

/// Settings of a store; lease and patience must be the same in all processes that share it.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use nexios_jobs::Jobs;
///
/// # async fn example() -> Result<(), nexios_jobs::JobsError> {
/// let jobs = Jobs::builder().lease(Duration::from_secs(10)).open("sqlite:newsroom-data/jobs.db").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct JobsBuilder {
    pub(crate) lease: Duration,
    pub(crate) patience: Duration,
    traceparent: Option<Traceparent>,
}

impl JobsBuilder {
    pub(crate) fn new() -> Self {
        Self {
            lease: Duration::from_secs(30),
            patience: Duration::from_secs(5),
            traceparent: None,
        }
    }

    /// How long a worker that is not heard of keeps its jobs. Default: 30 s; at least 1 s.
    ///
    /// It is renewed six times as often, by a thread of its own: a handler that holds its thread can hold up all timers of
    /// a tokio runtime, and does not lose its lease by that.
    ///
    /// # Panics
    ///
    /// Panics if it is under a second.
    #[track_caller]
    pub fn lease(mut self, lease: Duration) -> Self {
        assert!(
            lease >= Duration::from_secs(1),
            "lease({lease:?}): at least one second, or live jobs are taken for lost"
        );
        self.lease = lease;
        self
    }

    /// How long a call waits for a database that is locked or away before it is `Unavailable`. Default: 5 s.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    #[track_caller]
    pub fn patience(mut self, limit: Duration) -> Self {
        assert!(
            !limit.is_zero(),
            "patience({limit:?}): a call needs some time"
        );
        self.patience = limit;
        self
    }

    /// Where the W3C `traceparent` of what runs comes from, such as a function that asks OpenTelemetry. It is stored with
    /// each job that is enqueued, and [`JobContext::traceparent`](crate::JobContext::traceparent) gives it to the
    /// handler, in whatever process. Default: none.
    pub fn traceparent(mut self, current: fn() -> Option<String>) -> Self {
        self.traceparent = Some(current);
        self
    }

    /// Opens a store, as [`Jobs::open`] does.
    ///
    /// # Errors
    ///
    /// As [`Jobs::open`].
    pub async fn open(self, url: &str) -> Result<Jobs, JobsError> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            #[cfg(feature = "sqlite")]
            Some("sqlite") => {
                let engine = crate::engine::sqlite::SqliteEngine::open(&self, url).await?;
                Ok(Jobs::with(Arc::new(engine), self.traceparent))
            }
            #[cfg(not(feature = "sqlite"))]
            Some("sqlite") => not_built_in("sqlite"),
            #[cfg(feature = "postgres")]
            Some("postgres" | "postgresql") => {
                let engine = crate::engine::postgres::PostgresEngine::open(&self, url).await?;
                Ok(Jobs::with(Arc::new(engine), self.traceparent))
            }
            #[cfg(not(feature = "postgres"))]
            Some("postgres" | "postgresql") => not_built_in("postgres"),
            _ => Err(JobsError::Url {
                reason: "it begins with sqlite: or postgres://".to_owned(),
            }),
        }
    }

    /// A store in the SQLite file of this pool, as [`Jobs::sqlite`].
    ///
    /// # Errors
    ///
    /// As [`Jobs::sqlite`].
    #[cfg(feature = "sqlite")]
    pub async fn sqlite(self, pool: sqlx::SqlitePool) -> Result<Jobs, JobsError> {
        let engine = crate::engine::sqlite::SqliteEngine::of_pool(&self, &pool).await?;
        Ok(Jobs::with(Arc::new(engine), self.traceparent))
    }

    /// A store in the Postgres database of this pool, as [`Jobs::postgres`].
    ///
    /// # Errors
    ///
    /// As [`Jobs::postgres`].
    #[cfg(feature = "postgres")]
    pub async fn postgres(self, pool: sqlx::PgPool) -> Result<Jobs, JobsError> {
        let engine = crate::engine::postgres::PostgresEngine::of_pool(&self, &pool).await?;
        Ok(Jobs::with(Arc::new(engine), self.traceparent))
    }

    /// A store in memory, as [`Jobs::memory`]. It has no lease, and nothing to be patient with.
    #[must_use]
    pub fn memory(self) -> Jobs {
        Jobs::with(Arc::new(MemoryEngine::new()), self.traceparent)
    }
}

#[cfg(not(all(feature = "sqlite", feature = "postgres")))]
fn not_built_in(feature: &str) -> Result<Jobs, JobsError> {
    Err(JobsError::Url {
        reason: format!("this program was built without the feature {feature}"),
    })
}
