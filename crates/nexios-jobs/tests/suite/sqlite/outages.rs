//! The file is locked by others, or full.

use std::{str::FromStr, time::Duration};

use nexios_jobs::{JobState, Jobs, JobsError, Policy};
use sqlx::{ConnectOptions, Connection, Executor, SqlitePool, sqlite::SqliteConnectOptions};
use tokio::time::{Instant, sleep};

use crate::kit::{ECHO, Kit, end, millis};

async fn lock(kit: &Kit) -> sqlx::SqliteConnection {
    let options = SqliteConnectOptions::from_str(&kit.url()).unwrap();
    let mut connection = options
        .busy_timeout(Duration::from_secs(20))
        .connect()
        .await
        .unwrap();
    connection.execute("BEGIN EXCLUSIVE").await.unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_file_is_unavailable_to_enqueuers_and_workers_come_back() {
    let kit = Kit::sqlite();
    let builder = || {
        Jobs::builder()
            .patience(millis(500))
            .lease(Duration::from_secs(30))
    };
    let jobs = kit.open(builder()).await;
    let handler = |number, _| async move {
        sleep(millis(300)).await;
        Ok::<u64, String>(number)
    };
    let policy = Policy::new().concurrency(4);
    let workers = jobs
        .workers()
        .handle(ECHO, policy, handler)
        .start()
        .await
        .unwrap();
    let handles = jobs
        .enqueue_many(ECHO, &[1, 2, 3, 4, 5, 6, 7, 8])
        .await
        .unwrap();
    crate::kit::until(&handles[0], JobState::Running).await;
    let locked = lock(&kit).await;

    let began = Instant::now();
    let refused = jobs.enqueue(ECHO, &9).await;
    assert!(
        matches!(refused, Err(JobsError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    let waiting = tokio::spawn({
        let job = handles[7].clone();
        async move { job.wait().await }
    });
    while workers.is_ready() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "readiness did not fail"
        );
        sleep(millis(20)).await;
    }
    locked.close().await.unwrap();
    for (number, job) in (1..).zip(&handles) {
        assert_eq!(job.wait().await.unwrap(), number);
        let info = job.status().await.unwrap().unwrap();
        assert_eq!(info.attempt, 1, "nothing is run again");
    }
    assert_eq!(
        waiting.await.unwrap().unwrap(),
        8,
        "who waits goes on through outages"
    );
    assert!(workers.is_ready());
    assert!(workers.stats().restarts > 0);
    end(&workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_unavailable_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("jobs.db"))
        .create_if_missing(true)
        // Stands for a disk of 400 KiB: what SQLite says is the same.
        .pragma("max_page_count", "100");
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let jobs = Jobs::sqlite(pool).await.unwrap();
    let kind: nexios_jobs::Kind<String, u64> = nexios_jobs::Kind::new("text");
    let mut handles = Vec::new();
    let refused = loop {
        match jobs.enqueue(kind, &"x".repeat(20_000)).await {
            Ok(job) => handles.push(job),
            Err(error) => break error,
        }
        assert!(handles.len() < 1000, "it never gets full");
    };
    assert!(matches!(refused, JobsError::Unavailable(_)), "{refused:?}");
    assert!(handles.len() > 2);
    assert_eq!(
        jobs.list(Default::default()).await.unwrap().jobs.len(),
        handles.len()
    );
    for job in handles.drain(..2) {
        assert!(jobs.delete(job.id()).await.unwrap());
    }
    // The same connection is not used in a transaction that is not there.
    let job = jobs.enqueue(kind, &"x".repeat(20_000)).await.unwrap();
    assert_eq!(job.status().await.unwrap().unwrap().state, JobState::Ready);
}

#[tokio::test]
async fn a_handler_that_holds_its_only_thread_holds_up_neither_lease_nor_cancel() {
    const LEASE: Duration = Duration::from_secs(1);
    let kit = Kit::sqlite();
    let other = kit.open(Jobs::builder().lease(LEASE)).await;
    let elsewhere = std::thread::spawn({
        let url = kit.url();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let jobs = Jobs::builder().lease(LEASE).open(&url).await.unwrap();
                let handler = |number, job: nexios_jobs::JobContext| async move {
                    let began = std::time::Instant::now();
                    while !job.is_cancelled() {
                        assert!(began.elapsed() < Duration::from_secs(30), "it never heard");
                        std::thread::sleep(millis(10));
                    }
                    Ok::<u64, String>(number)
                };
                let workers = jobs
                    .workers()
                    .handle(ECHO, Policy::new(), handler)
                    .start()
                    .await
                    .unwrap();
                let job = jobs.enqueue(ECHO, &1).await.unwrap();
                assert_eq!(job.wait().await.unwrap(), 1);
                end(&workers).await;
                job.id()
            })
        }
    });
    // Somebody else who would take lost jobs.
    let never = |_, _| async { Err::<u64, _>("taken over") };
    let policy = Policy::new().concurrency(1);
    let page = loop {
        let page = other
            .list(nexios_jobs::Filter::new().state(JobState::Running))
            .await
            .unwrap();
        if !page.jobs.is_empty() {
            break page;
        }
        sleep(millis(20)).await;
    };
    let workers = other
        .workers()
        .handle(ECHO, policy, never)
        .start()
        .await
        .unwrap();
    sleep(LEASE * 3).await;
    let id = page.jobs[0].id;
    let info = other.get(id).await.unwrap().unwrap();
    assert_eq!(
        (info.state, info.attempt),
        (JobState::Running, 1),
        "{info:?}"
    );
    assert!(other.cancel(id).await.unwrap());
    tokio::task::spawn_blocking(move || elsewhere.join().unwrap())
        .await
        .unwrap();
    end(&workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_claim_was_written_but_not_answered_is_run_all_the_same() {
    let kit = Kit::sqlite();
    let jobs = kit.open(Jobs::builder().patience(millis(500))).await;
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let open = gate.clone();
    let handler = move |number: u64, _| {
        let gate = gate.clone();
        async move {
            if number == 1 {
                gate.notified().await;
            }
            Ok::<_, String>(number)
        }
    };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new().concurrency(1), handler)
        .start()
        .await
        .unwrap();
    let first = jobs.enqueue(ECHO, &1).await.unwrap();
    crate::kit::until(&first, JobState::Running).await;
    let second = jobs.enqueue(ECHO, &2).await.unwrap();
    // As if the worker had claimed it and its answer was on the way when the database went away.
    let mut locked = lock(&kit).await;
    let claim = "UPDATE nexios_jobs SET state = 2, fence = fence + 1, attempt = attempt + 1,
                     worker = (SELECT id FROM nexios_jobs_workers)
                 WHERE state = 1";
    assert_eq!(locked.execute(claim).await.unwrap().rows_affected(), 1);
    open.notify_one();
    let began = Instant::now();
    while workers.is_ready() {
        assert!(began.elapsed() < Duration::from_secs(30));
        sleep(millis(20)).await;
    }
    locked.execute("COMMIT").await.unwrap();
    assert_eq!(first.wait().await.unwrap(), 1);
    let ended = tokio::time::timeout(Duration::from_secs(20), second.wait()).await;
    assert_eq!(ended.expect("it is not forgotten").unwrap(), 2);
    let info = second.status().await.unwrap().unwrap();
    assert_eq!(info.attempt, 1);
    end(&workers).await;
}
