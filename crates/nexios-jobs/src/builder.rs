use std::{sync::Arc, time::Duration};

use crate::{
    engine::{memory::MemoryEngine, settings::Settings},
    error::JobsError,
    jobs::Jobs,
    origin::Traceparent,
};

impl Jobs {
    /// Opens the store at `sqlite:path` or `sqlite://path`, which is made when missing, with its folder, or at
    /// `postgres://…`; with the defaults of [`JobsBuilder`].
    ///
    /// # Errors
    ///
    /// A URL that cannot be read or whose engine is not built in, tables of a newer version, a database that is not there.
    pub async fn open(url: &str) -> Result<Self, JobsError> {
        Self::builder().open(url).await
    }

    /// A store in the SQLite file of this pool. It opens connections of its own, with the pool's options; only
    /// [`enqueue_in`](Self::enqueue_in) uses the caller's.
    ///
    /// # Errors
    ///
    /// A database in memory, which other connections do not see; tables of a newer version; a database that is not there.
    #[cfg(feature = "sqlite")]
    pub async fn sqlite(pool: sqlx::SqlitePool) -> Result<Self, JobsError> {
        Self::builder().sqlite(pool).await
    }

    /// A store in the Postgres database of this pool. It opens connections of its own, with the pool's options, five at most;
    /// only [`enqueue_in`](Self::enqueue_in) uses the caller's.
    ///
    /// # Errors
    ///
    /// Tables of a newer version; a database that is not there.
    #[cfg(feature = "postgres")]
    pub async fn postgres(pool: sqlx::PgPool) -> Result<Self, JobsError> {
        Self::builder().postgres(pool).await
    }

    /// A store in the memory of this process, for tests: the same semantics, and gone with the process. Its clock is
    /// tokio's, so that a paused one is paused here.
    #[must_use]
    pub fn memory() -> Self {
        Self::builder().memory()
    }

    /// Sets up a store.
    pub fn builder() -> JobsBuilder {
        JobsBuilder::new()
    }
}

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
    settings: Settings,
    traceparent: Option<Traceparent>,
}

impl JobsBuilder {
    fn new() -> Self {
        Self {
            settings: Settings {
                lease: Duration::from_secs(30),
                patience: Duration::from_secs(5),
            },
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
        self.settings.lease = lease;
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
        self.settings.patience = limit;
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
                let engine = crate::engine::sqlite::SqliteEngine::open(self.settings, url).await?;
                Ok(Jobs::with(Arc::new(engine), self.traceparent))
            }
            #[cfg(not(feature = "sqlite"))]
            Some("sqlite") => not_built_in("sqlite"),
            #[cfg(feature = "postgres")]
            Some("postgres" | "postgresql") => {
                let engine =
                    crate::engine::postgres::PostgresEngine::open(self.settings, url).await?;
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
        let engine = crate::engine::sqlite::SqliteEngine::of_pool(self.settings, &pool).await?;
        Ok(Jobs::with(Arc::new(engine), self.traceparent))
    }

    /// A store in the Postgres database of this pool, as [`Jobs::postgres`].
    ///
    /// # Errors
    ///
    /// As [`Jobs::postgres`].
    #[cfg(feature = "postgres")]
    pub async fn postgres(self, pool: sqlx::PgPool) -> Result<Jobs, JobsError> {
        let engine = crate::engine::postgres::PostgresEngine::of_pool(self.settings, &pool).await?;
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
