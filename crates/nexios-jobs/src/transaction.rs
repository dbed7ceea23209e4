//! Transactions of the caller's own, in which a job can be enqueued.

use std::marker::PhantomData;

/// What [`Jobs::enqueue_in`](crate::Jobs::enqueue_in) can write to: a transaction or a connection of sqlx, of SQLite or of
/// Postgres. Sealed.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # async fn example(pool: sqlx::SqlitePool) -> Result<(), Box<dyn std::error::Error>> {
/// use nexios_jobs::{Jobs, Kind};
///
/// const CHARGE: Kind<u64> = Kind::new("charge invoice");
///
/// let jobs = Jobs::sqlite(pool.clone()).await?;
/// let mut tx = pool.begin().await?;
/// sqlx::query("INSERT INTO invoices (id) VALUES (7)").execute(&mut *tx).await?;
/// jobs.enqueue_in(&mut tx, CHARGE, &7).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
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
