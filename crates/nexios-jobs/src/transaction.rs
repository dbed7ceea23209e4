//! Transactions of the caller's own, in which a job can be enqueued.

use std::marker::PhantomData;

/// What [`Jobs::enqueue_in`](crate::Jobs::enqueue_in) can write to: a transaction or a connection of sqlx, of SQLite or of
/// Postgres. Sealed.
///
/// # Examples
///
/// ```
/// use nexios_jobs::{JobTransaction, Jobs, JobsError, Kind};
///
/// const CHARGE: Kind<u64> = Kind::new("charge invoice");
///
/// /// In whatever transaction its caller has.
/// async fn charge<T: JobTransaction>(jobs: &Jobs, tx: &mut T, invoice: u64) -> Result<(), JobsError> {
///     jobs.enqueue_in(tx, CHARGE, &invoice).await.map(drop)
/// }
///
/// # #[cfg(feature = "sqlite")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite:{}/shop.db?mode=rwc", folder.path().display());
/// # let pool = sqlx::SqlitePool::connect(&url).await?;
/// # sqlx::query("CREATE TABLE invoices (id INTEGER)").execute(&pool).await?;
/// let jobs = Jobs::sqlite(pool.clone()).await?;
/// let mut tx = pool.begin().await?;
/// sqlx::query("INSERT INTO invoices (id) VALUES (7)").execute(&mut *tx).await?;
/// charge(&jobs, &mut tx, 7).await?;
/// tx.commit().await?;
/// # assert_eq!(jobs.list(nexios_jobs::Filter::new().kind(CHARGE)).await?.jobs.len(), 1);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "sqlite"))]
/// # fn main() {}
/// ```
pub trait JobTransaction: Send + sealed::Writable {}

/// A connection that somebody else has a transaction on.
pub(crate) enum Connection<'a> {
    #[cfg(feature = "sqlite")]
    Sqlite(&'a mut sqlx::SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(&'a mut sqlx::PgConnection),
    /// There is none without an engine, and this is never made.
    #[expect(dead_code, reason = "keeps the lifetime without any engine")]
    None(PhantomData<&'a mut ()>),
}

pub(crate) mod sealed {
    use super::Connection;

    pub trait Writable {
        #[doc(hidden)]
        #[expect(private_interfaces, reason = "sealed")]
        fn connection(&mut self) -> Connection<'_>;
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use sqlx::{Sqlite, SqliteConnection, Transaction};

    use super::{Connection, JobTransaction, sealed};

    impl JobTransaction for Transaction<'_, Sqlite> {}
    impl sealed::Writable for Transaction<'_, Sqlite> {
        #[expect(private_interfaces, reason = "sealed")]
        fn connection(&mut self) -> Connection<'_> {
            Connection::Sqlite(self)
        }
    }

    impl JobTransaction for SqliteConnection {}
    impl sealed::Writable for SqliteConnection {
        #[expect(private_interfaces, reason = "sealed")]
        fn connection(&mut self) -> Connection<'_> {
            Connection::Sqlite(self)
        }
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use sqlx::{PgConnection, Postgres, Transaction};

    use super::{Connection, JobTransaction, sealed};

    impl JobTransaction for Transaction<'_, Postgres> {}
    impl sealed::Writable for Transaction<'_, Postgres> {
        #[expect(private_interfaces, reason = "sealed")]
        fn connection(&mut self) -> Connection<'_> {
            Connection::Postgres(self)
        }
    }

    impl JobTransaction for PgConnection {}
    impl sealed::Writable for PgConnection {
        #[expect(private_interfaces, reason = "sealed")]
        fn connection(&mut self) -> Connection<'_> {
            Connection::Postgres(self)
        }
    }
}
