//! The tables, and who may use them.

use std::str::FromStr;

use nexios_jobs::{Jobs, JobsError};
use sqlx::{ConnectOptions, Executor, Row, SqlitePool, sqlite::SqliteConnectOptions};

use crate::kit::{ECHO, Kit};

#[tokio::test]
async fn tables_of_a_newer_version_are_refused_and_left_alone() {
    let kit = Kit::sqlite();
    let jobs = kit.jobs().await;
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    let options = SqliteConnectOptions::from_str(&kit.url()).unwrap();
    let mut connection = options.connect().await.unwrap();
    connection
        .execute("UPDATE nexios_jobs_schema SET version = 4711")
        .await
        .unwrap();
    let refused = Jobs::open(&kit.url()).await;
    let Err(JobsError::NewerSchema {
        found: 4711,
        supported,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert!(supported < 4711);
    let row = connection
        .fetch_one("SELECT version FROM nexios_jobs_schema")
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>(0), 4711);
    assert!(job.status().await.unwrap().is_some());
}

#[tokio::test]
async fn processes_that_open_a_new_file_at_once_make_one_schema() {
    let kit = Kit::sqlite();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = kit.url();
        all.spawn(async move { Jobs::open(&url).await.unwrap() });
    }
    let stores = all.join_all().await;
    let job = stores[0].enqueue(ECHO, &1).await.unwrap();
    for jobs in stores {
        assert!(jobs.get(job.id()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_database_in_memory_and_other_urls_are_refused() {
    let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
    assert!(matches!(
        Jobs::sqlite(pool).await,
        Err(JobsError::Url { .. })
    ));
    for url in [
        "sqlite::memory:",
        "mysql://root:secret@localhost/jobs",
        "jobs.db",
        "",
    ] {
        let refused = Jobs::open(url).await;
        let Err(error @ JobsError::Url { .. }) = refused else {
            panic!("{url}: {refused:?}");
        };
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
