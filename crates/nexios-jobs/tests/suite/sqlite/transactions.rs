//! Jobs in the caller's own transaction.

use std::str::FromStr;

use nexios_jobs::{JobFailure, Jobs, JobsError, Policy};
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};

use crate::kit::{ECHO, Kit, end, millis};

async fn pool(kit: &Kit) -> SqlitePool {
    drop(kit.jobs().await);
    let options = SqliteConnectOptions::from_str(&kit.url()).unwrap();
    SqlitePool::connect_with(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_there_if_its_transaction_commits_and_never_if_it_does_not() {
    let kit = Kit::sqlite();
    let pool = pool(&kit).await;
    let jobs = Jobs::sqlite(pool.clone()).await.unwrap();
    let echo = |number, _| async move { Ok::<u64, String>(number) };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), echo)
        .start()
        .await
        .unwrap();

    let mut tx = pool.begin().await.unwrap();
    let never = jobs.enqueue_in(&mut tx, ECHO, &1).await.unwrap();
    tokio::time::sleep(millis(300)).await;
    assert!(never.status().await.unwrap().is_none(), "not yet");
    tx.rollback().await.unwrap();
    assert!(matches!(never.wait().await, Err(JobFailure::Gone)));

    let mut tx = pool.begin().await.unwrap();
    let job = jobs
        .task(ECHO)
        .unique("k")
        .enqueue_in(&mut tx, &2)
        .await
        .unwrap();
    let same = jobs
        .task(ECHO)
        .unique("k")
        .enqueue_in(&mut tx, &3)
        .await
        .unwrap();
    assert!(job.was_new() && !same.was_new() && job.id() == same.id());
    assert_ne!(
        job.id(),
        never.id(),
        "a number is not used twice, not even one that was rolled back"
    );
    tx.commit().await.unwrap();
    assert_eq!(job.wait().await.unwrap(), 2);

    // A connection without a transaction commits at once.
    let mut connection = pool.acquire().await.unwrap();
    let job = jobs.enqueue_in(&mut *connection, ECHO, &4).await.unwrap();
    assert_eq!(job.wait().await.unwrap(), 4);
    end(&workers).await;
}

#[tokio::test]
async fn a_transaction_of_another_engine_is_refused() {
    let kit = Kit::sqlite();
    let pool = pool(&kit).await;
    let mut tx = pool.begin().await.unwrap();
    let refused = Jobs::memory().enqueue_in(&mut tx, ECHO, &1).await;
    assert!(matches!(refused, Err(JobsError::WrongDatabase)));
}
