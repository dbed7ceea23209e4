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
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Jobs, Kind};
    ///
    /// const GREET: Kind<String> = Kind::new("greet");
    ///
    /// # #[cfg(feature = "sqlite")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("newsroom-data/jobs.db");
    /// let url = format!("sqlite:{}", path.display()); // sqlite:/…/newsroom-data/jobs.db
    /// let job = Jobs::open(&url).await?.enqueue(GREET, &"Ada".to_owned()).await?;
    ///
    /// // Another process, or this one after a restart.
    /// let jobs = Jobs::open(&url).await?;
    /// assert!(jobs.get(job.id()).await?.is_some());
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "sqlite"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// A URL that cannot be read or whose engine is not built in, tables of a newer version, a database that is not there: its
    /// file, or its host and name, is in the text, without the password.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the file and its tables may be there or not.
    pub async fn open(url: &str) -> Result<Self, JobsError> {
        Self::builder().open(url).await
    }

    /// A store in the SQLite file of this pool. It opens connections of its own, with the pool's options; only
    /// [`enqueue_in`](Self::enqueue_in) uses the caller's.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios_jobs::{Filter, Jobs};
    /// use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("shop.db");
    /// let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    /// let pool = SqlitePool::connect_with(options).await?;
    /// let jobs = Jobs::sqlite(pool.clone()).await?; // the tables of the app are beside those of the jobs
    /// assert!(jobs.list(Filter::new()).await?.jobs.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A database in memory, which other connections do not see; tables of a newer version; a database that is not there.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the tables may be there or not.
    #[cfg(feature = "sqlite")]
    pub async fn sqlite(pool: sqlx::SqlitePool) -> Result<Self, JobsError> {
        Self::builder().sqlite(pool).await
    }

    /// A store in the Postgres database of this pool. It opens connections of its own, with the pool's options, five at most;
    /// only [`enqueue_in`](Self::enqueue_in) uses the caller's.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios_jobs::Jobs;
    ///
    /// let pool = sqlx::PgPool::connect("postgres://shop@localhost/shop").await?;
    /// let jobs = Jobs::postgres(pool.clone()).await?; // pool.begin() is for jobs.enqueue_in
    /// # let _ = jobs;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Tables of a newer version; a database that is not there.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the tables may be there or not.
    #[cfg(feature = "postgres")]
    pub async fn postgres(pool: sqlx::PgPool) -> Result<Self, JobsError> {
        Self::builder().postgres(pool).await
    }

    /// A store in the memory of this process, for tests: the same semantics, and gone with the process. Its clock is
    /// tokio's, so that a paused one is paused here.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{Jobs, Kind, Policy};
    /// use std::time::Duration;
    ///
    /// const REMIND: Kind<String, String> = Kind::new("remind");
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // A paused clock (#[tokio::test(start_paused = true)]) jumps over the hour that the job waits.
    /// let jobs = Jobs::memory();
    /// let remind = |text: String, _job| async move { Ok::<_, String>(text.to_uppercase()) };
    /// jobs.workers().handle(REMIND, Policy::new(), remind).start().await?;
    /// let reminder = jobs.task(REMIND).delay(Duration::from_secs(60 * 60)).enqueue(&"tea".to_owned()).await?;
    /// assert_eq!(reminder.wait().await?, "TEA");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn memory() -> Self {
        Self::builder().memory()
    }

    /// Sets up a store.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios_jobs::Jobs;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite:{}/jobs.db", folder.path().display());
    /// let jobs = Jobs::builder().patience(Duration::from_secs(1)).open(&url).await?;
    /// # let _ = jobs;
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "sqlite"))]
    /// # fn main() {}
    /// ```
    pub fn builder() -> JobsBuilder {
        JobsBuilder::new()
    }
}

/// Settings of a store; lease and patience must be the same in all processes that share it.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use nexios_jobs::{Filter, Jobs};
///
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite:{}/jobs.db", folder.path().display());
/// let jobs = Jobs::builder()
///     .lease(Duration::from_secs(10)) // what a killed process had is free after ten seconds
///     .patience(Duration::from_secs(2)) // a locked database is `Unavailable` after two
///     .open(&url)
///     .await?;
/// assert!(jobs.list(Filter::new()).await?.jobs.is_empty());
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "sqlite"))]
/// # fn main() {}
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

    /// How long a worker that is not heard of keeps its jobs. Default: 30 s; at least 1 s. In development, where processes are
    /// killed all the time, 5 s spare the wait.
    ///
    /// It is renewed six times as often, by a thread of its own: a handler that holds its thread can hold up all timers of
    /// a tokio runtime, and does not lose its lease by that.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_jobs::Jobs;
    ///
    /// // A killed process's jobs go on elsewhere after ten seconds, in every process that shares the store.
    /// let builder = Jobs::builder().lease(Duration::from_secs(10));
    /// # let _ = builder;
    /// ```
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

    /// How long a call waits for a database that is locked or away before it is `Unavailable`. Default: 5 s. The deadline of a
    /// request that enqueues must be clearly longer, or its client hears of the deadline and not of the store.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nexios_jobs::{Jobs, JobsError, Kind};
    ///
    /// const GREET: Kind<String> = Kind::new("greet");
    ///
    /// # #[cfg(feature = "sqlite")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use sqlx::Connection;
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite:{}/jobs.db", folder.path().display());
    /// let jobs = Jobs::builder().patience(Duration::from_millis(100)).open(&url).await?;
    /// # let mut other = sqlx::SqliteConnection::connect(&url).await?;
    /// # sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await?;
    /// // Somebody else holds the write lock: this gives up after 100 ms.
    /// let refused = jobs.enqueue(GREET, &"Ada".to_owned()).await;
    /// assert!(matches!(refused, Err(JobsError::Unavailable(_))));
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "sqlite"))]
    /// # fn main() {}
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobContext, Jobs, Kind, Policy};
    ///
    /// const TRACED: Kind<(), Option<String>> = Kind::new("traced");
    ///
    /// fn current() -> Option<String> {
    ///     // ... ask OpenTelemetry for the context of this task ...
    ///     Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::builder().traceparent(current).memory();
    /// let handler = |(), job: JobContext| async move { Ok::<_, String>(job.traceparent().map(str::to_owned)) };
    /// jobs.workers().handle(TRACED, Policy::new(), handler).start().await?;
    /// assert_eq!(jobs.enqueue(TRACED, &()).await?.wait().await?, current());
    /// # Ok(())
    /// # }
    /// ```
    pub fn traceparent(mut self, current: fn() -> Option<String>) -> Self {
        self.traceparent = Some(current);
        self
    }

    /// Opens a store, as [`Jobs::open`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios_jobs::{Jobs, JobsError};
    ///
    /// let refused = Jobs::builder().open("redis://localhost").await;
    /// assert!(matches!(refused, Err(JobsError::Url { .. })));
    /// # #[cfg(feature = "sqlite")] {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite:{}/jobs.db", folder.path().display());
    /// let jobs = Jobs::builder().open(&url).await?; // sqlite:newsroom-data/jobs.db
    /// # let _ = jobs;
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Jobs::open`].
    ///
    /// # Cancel safety
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
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios_jobs::{Filter, Jobs};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite:{}/shop.db?mode=rwc", folder.path().display());
    /// let pool = sqlx::SqlitePool::connect(&url).await?; // sqlite:shop.db?mode=rwc
    /// let jobs = Jobs::builder().lease(Duration::from_secs(10)).sqlite(pool).await?;
    /// assert!(jobs.list(Filter::new()).await?.jobs.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Jobs::sqlite`].
    ///
    /// # Cancel safety
    ///
    /// As [`Jobs::sqlite`].
    #[cfg(feature = "sqlite")]
    pub async fn sqlite(self, pool: sqlx::SqlitePool) -> Result<Jobs, JobsError> {
        let engine = crate::engine::sqlite::SqliteEngine::of_pool(self.settings, &pool).await?;
        Ok(Jobs::with(Arc::new(engine), self.traceparent))
    }

    /// A store in the Postgres database of this pool, as [`Jobs::postgres`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use nexios_jobs::Jobs;
    ///
    /// let pool = sqlx::PgPool::connect("postgres://shop@localhost/shop").await?;
    /// let jobs = Jobs::builder().lease(Duration::from_secs(10)).postgres(pool).await?;
    /// # let _ = jobs;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Jobs::postgres`].
    ///
    /// # Cancel safety
    ///
    /// As [`Jobs::postgres`].
    #[cfg(feature = "postgres")]
    pub async fn postgres(self, pool: sqlx::PgPool) -> Result<Jobs, JobsError> {
        let engine = crate::engine::postgres::PostgresEngine::of_pool(self.settings, &pool).await?;
        Ok(Jobs::with(Arc::new(engine), self.traceparent))
    }

    /// A store in memory, as [`Jobs::memory`]. It has no lease, and nothing to be patient with.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::{JobContext, Jobs, Kind, Policy};
    ///
    /// const TRACED: Kind<(), bool> = Kind::new("traced");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs = Jobs::builder().traceparent(|| None).memory();
    /// let handler = |(), job: JobContext| async move { Ok::<_, String>(job.traceparent().is_some()) };
    /// jobs.workers().handle(TRACED, Policy::new(), handler).start().await?;
    /// assert!(!jobs.enqueue(TRACED, &()).await?.wait().await?);
    /// # Ok(())
    /// # }
    /// ```
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
