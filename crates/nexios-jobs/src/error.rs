use std::{error::Error, fmt};

/// Why a store of jobs could not do what it was asked.
///
/// # Examples
///
/// ```
/// use nexios_jobs::{Jobs, JobsError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let opened = Jobs::open("mysql://localhost/jobs").await;
/// assert!(matches!(opened, Err(JobsError::Url { .. })));
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum JobsError {
    /// The URL cannot be read, or names an engine that is not built in. Never shows a password.
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// The tables were made by a newer version of this crate; nothing was changed.
    NewerSchema {
        /// The version of the tables.
        found: i64,
        /// The newest version that this crate knows.
        supported: i64,
    },
    /// The arguments cannot be written as JSON.
    Arguments {
        /// What serde says.
        reason: String,
    },
    /// The arguments are longer than [`Jobs::MAX_PAYLOAD`](crate::Jobs::MAX_PAYLOAD) as JSON, or the key is longer than
    /// 1 KiB.
    PayloadTooLarge {
        /// Their length, or where counting stopped.
        bytes: usize,
        /// The longest that is taken.
        limit: usize,
    },
    /// A cron text that cannot be read or names no time.
    Schedule {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The transaction is one of another database engine than the store.
    WrongDatabase,
    /// The database is away, locked or full: later it may work. A call whose commit got no answer may have been done.
    Unavailable(DatabaseError),
    /// Any other failure of the database.
    Database(DatabaseError),
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl JobsError {
    /// Says which database could not be opened.
    pub(crate) fn of(mut self, database: &str) -> Self {
        if let Self::Unavailable(error) | Self::Database(error) = &mut self {
            error.database = Some(database.to_owned());
        }
        self
    }
}

impl fmt::Display for JobsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { reason } => write!(f, "the URL of the store of jobs: {reason}"),
            Self::NewerSchema { found, supported } => write!(
                f,
                "the tables of jobs have version {found}, this program knows versions up to {supported}"
            ),
            Self::Arguments { reason } => {
                write!(f, "the arguments cannot be written as JSON: {reason}")
            }
            Self::PayloadTooLarge { bytes, limit } => {
                write!(
                    f,
                    "the payload has {bytes} bytes, at most {limit} are taken"
                )
            }
            Self::Schedule { text, reason } => write!(f, "the schedule {text:?}: {reason}"),
            Self::WrongDatabase => {
                f.write_str("the transaction is one of another database engine than the store")
            }
            Self::Unavailable(error) => write!(f, "the store of jobs is not available: {error}"),
            Self::Database(error) => write!(f, "the store of jobs failed: {error}"),
        }
    }
}

impl Error for JobsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(error) | Self::Database(error) => Some(error),
            _ => None,
        }
    }
}

/// What the driver of the database said, and as a store is opened of which database; its own error is behind `source()`.
///
/// # Examples
///
/// ```
/// use std::error::Error;
/// use nexios_jobs::JobsError;
///
/// fn driver(error: &JobsError) -> Option<&(dyn Error + 'static)> {
///     match error {
///         JobsError::Unavailable(error) | JobsError::Database(error) => error.source(),
///         _ => None,
///     }
/// }
/// ```
#[derive(Debug)]
pub struct DatabaseError {
    /// The one that could not be opened: its file, or its host and name; no user and no password.
    database: Option<String>,
    source: Box<dyn Error + Send + Sync>,
}

impl DatabaseError {
    pub(crate) fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            database: None,
            source: source.into(),
        }
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(database) = &self.database {
            write!(f, "{database}: ")?;
        }
        self.source.fmt(f)
    }
}

impl Error for DatabaseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
