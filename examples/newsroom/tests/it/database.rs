//! A look into the databases of a service, and a hand in them.

use std::{cell::RefCell, path::Path};

use futures_executor::block_on;
use sqlx::{
    AssertSqlSafe, Connection, Decode, Sqlite, SqliteConnection, Type, sqlite::SqliteConnectOptions,
};

/// A connection; its file is given back when it is dropped.
pub(crate) struct Database(RefCell<Option<SqliteConnection>>);

impl Database {
    pub(crate) fn open(path: impl AsRef<Path>) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true);
        let connection = block_on(SqliteConnection::connect_with(&options));
        Database(RefCell::new(Some(connection.unwrap())))
    }

    /// Executes statements, as many as there are.
    #[track_caller]
    pub(crate) fn run(&self, statements: &str) {
        self.try_run(statements).unwrap();
    }

    pub(crate) fn try_run(&self, statements: &str) -> sqlx::Result<()> {
        let statements = sqlx::raw_sql(AssertSqlSafe(statements));
        let mut connection = self.0.borrow_mut();
        block_on(statements.execute(connection.as_mut().unwrap())).map(drop)
    }

    /// Executes one statement with texts for its places.
    #[track_caller]
    pub(crate) fn run_with(&self, statement: &str, texts: &[&str]) {
        let statement = sqlx::query(AssertSqlSafe(statement));
        let bound = texts
            .iter()
            .fold(statement, |statement, text| statement.bind(*text));
        let mut connection = self.0.borrow_mut();
        block_on(bound.execute(connection.as_mut().unwrap())).unwrap();
    }

    /// The first value of the first row.
    #[track_caller]
    pub(crate) fn value<T>(&self, query: &str) -> T
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + Send + Unpin,
    {
        let query = sqlx::query_scalar(AssertSqlSafe(query));
        let mut connection = self.0.borrow_mut();
        block_on(query.fetch_one(connection.as_mut().unwrap())).unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            block_on(connection.close()).unwrap();
        }
    }
}
