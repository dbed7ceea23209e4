//! What only Postgres can show: restarts, schemas, transactions of the caller's own, jobs that others have put in.

use std::{str::FromStr, time::Duration};

use nexios_jobs::{Filter, JobFailure, JobState, Jobs, JobsError, Policy};
use sqlx::{Connection, Executor, PgConnection, PgPool, Row, postgres::PgConnectOptions};
use tokio::time::{Instant, sleep};

use crate::{
    kit::{ECHO, Kit, end, millis, until},
    server::Server,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_database_loses_no_job_and_runs_none_twice() {
    let Some((server, url)) = Server::of_my_own().await else {
        return;
    };
    let jobs = Jobs::builder()
        .patience(millis(1000))
        .open(&url)
        .await
        .unwrap();
    let handler = |number, _| async move {
        sleep(millis(20)).await;
        Ok::<u64, String>(number)
    };
    let numbers: Vec<u64> = (0..400).collect();
    let handles = jobs.enqueue_many(ECHO, &numbers).await.unwrap();
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    until(&handles[50], JobState::Completed).await;
    server.control("stop -m fast");
    let began = Instant::now();
    let refused = jobs.enqueue(ECHO, &1).await;
    assert!(
        matches!(refused, Err(JobsError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    let waiting = tokio::spawn({
        let job = handles[399].clone();
        async move { job.wait().await }
    });
    while workers.is_ready() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "readiness did not fail"
        );
        sleep(millis(20)).await;
    }
    server.control("start");
    for job in &handles {
        job.wait().await.unwrap();
        assert_eq!(
            job.status().await.unwrap().unwrap().attempt,
            1,
            "none is run twice"
        );
    }
    assert_eq!(
        waiting.await.unwrap().unwrap(),
        399,
        "who waits goes on through outages"
    );
    assert!(workers.is_ready() && workers.stats().restarts > 0);
    // It listens again.
    let job = jobs.enqueue(ECHO, &7).await.unwrap();
    assert_eq!(job.wait().await.unwrap(), 7);
    end(&workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_there_if_its_transaction_commits_and_never_if_it_does_not() {
    let Some(kit) = Kit::postgres().await else {
        return;
    };
    let options = PgConnectOptions::from_str(&kit.url()).unwrap();
    let pool = PgPool::connect_with(options).await.unwrap();
    let jobs = Jobs::postgres(pool.clone()).await.unwrap();
    let echo = |number, _| async move { Ok::<u64, String>(number) };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), echo)
        .start()
        .await
        .unwrap();

    let mut tx = pool.begin().await.unwrap();
    let never = jobs.enqueue_in(&mut tx, ECHO, &1).await.unwrap();
    sleep(millis(300)).await;
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

    let refused = Jobs::memory()
        .enqueue_in(&mut pool.begin().await.unwrap(), ECHO, &1)
        .await;
    assert!(matches!(refused, Err(JobsError::WrongDatabase)));
    end(&workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_was_put_in_by_sql_runs_too() {
    let Some(kit) = Kit::postgres().await else {
        return;
    };
    let jobs = kit.jobs().await;
    let handler = |number: u64, job: nexios_jobs::JobContext| async move {
        if job.attempt() == 1 {
            Err("again")
        } else {
            Ok(number)
        }
    };
    let policy = Policy::new().backoff(millis(10), millis(10));
    let workers = jobs
        .workers()
        .handle(ECHO, policy, handler)
        .start()
        .await
        .unwrap();
    let mut connection = PgConnection::connect(&kit.url()).await.unwrap();
    let add = "SELECT graphile_worker.add_job('echo', '7'::json, queue_name => 'one by one')";
    connection.execute(add).await.unwrap();
    let began = Instant::now();
    let job = loop {
        let page = jobs.list(Filter::new().kind(ECHO)).await.unwrap();
        if let Some(job) = page.jobs.into_iter().find(|job| job.state.is_final()) {
            break job;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it was not run");
        sleep(millis(20)).await;
    };
    assert_eq!((job.state, job.attempt), (JobState::Completed, 2));
    assert_eq!(job.result, Some(serde_json::json!(7)));
    let left = "SELECT count(*) FROM graphile_worker._private_jobs";
    let left: i64 = connection.fetch_one(left).await.unwrap().get(0);
    assert_eq!(left, 0, "nothing is left in the queue");
    end(&workers).await;
}

#[tokio::test]
async fn tables_of_a_newer_version_are_refused_and_left_alone() {
    let Some(kit) = Kit::postgres().await else {
        return;
    };
    let jobs = kit.jobs().await;
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    let mut connection = PgConnection::connect(&kit.url()).await.unwrap();
    connection
        .execute("UPDATE nexios_jobs.schema SET version = 4711")
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
    assert!(job.status().await.unwrap().is_some());
}

#[tokio::test]
async fn an_ended_job_leaves_nothing_in_the_queue() {
    let Some(kit) = Kit::postgres().await else {
        return;
    };
    let jobs = kit.jobs().await;
    let handles = jobs.enqueue_many(ECHO, &[1, 2, 3]).await.unwrap();
    let handler = |number: u64, _| async move {
        if number == 1 {
            Err(nexios_jobs::JobError::discard("no"))
        } else {
            Ok(number)
        }
    };
    handles[2].cancel().await.unwrap();
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    let _ = (handles[0].wait().await, handles[1].wait().await);
    let mut connection = PgConnection::connect(&kit.url()).await.unwrap();
    let left = "SELECT count(*) FROM graphile_worker._private_jobs";
    let left: i64 = connection.fetch_one(left).await.unwrap().get(0);
    assert_eq!(left, 0);
    end(&workers).await;
    let left = "SELECT count(*) FROM graphile_worker._private_workers";
    let left: i64 = connection.fetch_one(left).await.unwrap().get(0);
    assert_eq!(left, 0, "nor do drained workers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_claim_was_written_but_not_answered_is_run_all_the_same() {
    let Some(kit) = Kit::postgres().await else {
        return;
    };
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
    until(&first, JobState::Running).await;
    let second = jobs.enqueue(ECHO, &2).await.unwrap();
    // As if the worker had claimed it and its answer was on the way when the database went away.
    let mut connection = PgConnection::connect(&kit.url()).await.unwrap();
    let mut locked = connection.begin().await.unwrap();
    let claim = "SELECT job FROM nexios_jobs.step((SELECT id FROM graphile_worker._private_workers), 'host', 1, 20, 1000,
                     '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{echo}', '{1}', '{5}', '{1000}')
                 WHERE job IS NOT NULL";
    locked.fetch_one(claim).await.unwrap();
    let lock = "LOCK TABLE nexios_jobs.paused IN ACCESS EXCLUSIVE MODE";
    locked.execute(lock).await.unwrap();
    open.notify_one();
    let began = Instant::now();
    while workers.is_ready() {
        assert!(began.elapsed() < Duration::from_secs(30));
        sleep(millis(20)).await;
    }
    locked.commit().await.unwrap();
    assert_eq!(first.wait().await.unwrap(), 1);
    let ended = tokio::time::timeout(Duration::from_secs(20), second.wait()).await;
    assert_eq!(ended.expect("it is not forgotten").unwrap(), 2);
    let info = second.status().await.unwrap().unwrap();
    assert_eq!(info.attempt, 1);
    end(&workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_whose_answer_was_lost_is_no_lost_lease() {
    let Some(kit) = Kit::postgres().await else {
        return;
    };
    let jobs = kit.jobs().await;
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let open = gate.clone();
    let handler = move |number: u64, _| {
        let gate = gate.clone();
        async move {
            gate.notified().await;
            Ok::<_, String>(number)
        }
    };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &7).await.unwrap();
    until(&job, JobState::Running).await;
    // As the worker writes it, before it does so again.
    let mut connection = PgConnection::connect(&kit.url()).await.unwrap();
    let end = "SELECT (SELECT state FROM nexios_jobs.step((SELECT id FROM graphile_worker._private_workers), 'host', 1, 20, 1000,
                   ARRAY[id], ARRAY[fence], '{4}', '{0}', '{completed}', '{0}', '{7}', '{null}', '{null}', '{null}', '{null}',
                   '{}', '{}', '{}', '{}') WHERE place = 1) FROM nexios_jobs.jobs";
    let state: i64 = connection.fetch_one(end).await.unwrap().get(0);
    assert_eq!(state, 4);
    open.notify_one();
    let began = Instant::now();
    while workers.stats().running > 0 {
        assert!(began.elapsed() < Duration::from_secs(20));
        sleep(millis(10)).await;
    }
    assert_eq!(workers.stats().completed, 1, "it is known to be written");
    assert_eq!(job.wait().await.unwrap(), 7);
    crate::kit::end(&workers).await;
}

#[tokio::test]
async fn tables_of_an_older_version_are_brought_up_to_date() {
    let Some(kit) = Kit::postgres().await else {
        return;
    };
    let mut connection = PgConnection::connect(&kit.url()).await.unwrap();
    for older in [1, 2] {
        let job = kit.jobs().await.enqueue(ECHO, &7).await.unwrap();
        // As those left them: their functions of this name took other arguments.
        let before = format!(
            "DROP FUNCTION nexios_jobs.step;
            CREATE FUNCTION nexios_jobs.step(worker text) RETURNS TABLE (place bigint) LANGUAGE sql AS 'SELECT 1::bigint';
            UPDATE nexios_jobs.schema SET version = {older}"
        );
        connection
            .execute(sqlx::AssertSqlSafe(before))
            .await
            .unwrap();
        let jobs = kit.jobs().await;
        let echo = |number, _| async move { Ok::<u64, String>(number) };
        let workers = jobs
            .workers()
            .handle(ECHO, Policy::new(), echo)
            .start()
            .await
            .unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), job.wait()).await;
        assert_eq!(ended.expect("workers can take a step").unwrap(), 7);
        let version = "SELECT version FROM nexios_jobs.schema";
        let version: i64 = connection.fetch_one(version).await.unwrap().get(0);
        assert_eq!(version, 3);
        end(&workers).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_opening_names_host_and_database_and_what_they_said_without_the_password() {
    let Some(kit) = Kit::postgres().await else {
        return;
    };
    let there = kit.url();
    let (before, host) = there.split_once('?').unwrap();
    let (_, name) = before.rsplit_once('/').unwrap();
    let folder = host.strip_prefix("host=").unwrap();
    let elsewhere = format!("postgres://postgres:secret@localhost/not_{name}?{host}");
    let error = Jobs::open(&elsewhere).await.unwrap_err().to_string();
    let named = format!(": {folder}:5432/not_{name}: ");
    assert!(error.contains(&named), "{error}");

    // Nobody listens there.
    let away = "postgres://somebody:secret@127.0.0.1:1/jobs";
    let refused = Jobs::builder().patience(millis(300)).open(away).await;
    let error = refused.unwrap_err().to_string();
    let said = error.contains("Connection refused");
    assert!(said && error.contains(": 127.0.0.1:1/jobs: "), "{error}");
    assert!(
        !error.contains("somebody") && !error.contains("secret"),
        "{error}"
    );
}
