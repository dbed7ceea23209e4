//! SQLite: beside apalis-sqlite, set up as it sets itself up, with `synchronous` off where ours is full.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use apalis::prelude::*;
use apalis_sqlite::{Config, SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteStorage};
use nexios_jobs::Jobs;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use tempfile::TempDir;

use crate::{
    ROUNDS,
    rows::{Goal, Rows},
    store::{enqueue_singly, enqueue_together, measure_growth, measure_idle, rate, run_waiting},
};

const JOBS: u64 = 5000;
const SINGLY: u64 = 1000;

pub(crate) async fn measure(folder: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    let folder = TempDir::new_in(folder)?;
    let url = format!("sqlite:{}/ours.db", folder.path().display());
    let jobs = Jobs::open(&url).await?;

    let mut singly = (Vec::new(), Vec::new());
    let mut together = (Vec::new(), Vec::new());
    let mut runs = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let pool = pool(&folder.path().join(format!("theirs-{round}.db"))).await?;
        singly.0.push(enqueue_singly(&jobs, SINGLY).await?);
        let mut storage = SqliteStorage::<u64>::new(&pool).with_config(config("ten", 10));
        let began = Instant::now();
        for number in 0..SINGLY {
            storage.push(number).await.map_err(said)?;
        }
        singly.1.push(rate(SINGLY, began));

        together.0.push(enqueue_together(&jobs, JOBS).await?);
        let numbers: Vec<u64> = (0..JOBS).collect();
        let began = Instant::now();
        storage.push_bulk(numbers.clone()).await.map_err(said)?;
        together.1.push(rate(JOBS, began));

        runs.0.push(run_waiting(&jobs, JOBS + SINGLY).await?);
        runs.1
            .push(run_theirs(&pool, "ten", 10, JOBS + SINGLY).await?);
        let mut storage = SqliteStorage::<u64>::new(&pool).with_config(config("one", 1));
        storage
            .push_bulk((0..SINGLY).collect())
            .await
            .map_err(said)?;
        runs.2.push(run_theirs(&pool, "one", 1, SINGLY).await?);
    }
    let rival = "apalis-sqlite";
    rows.rates(
        "SQLite: enqueue one by one, durable",
        &singly.0,
        rival,
        &singly.1,
        Goal::Least(1.0),
    );
    rows.rates(
        "SQLite: enqueue together",
        &together.0,
        rival,
        &together.1,
        Goal::None,
    );
    rows.alone(
        "SQLite: enqueue together",
        crate::rows::median(&together.0),
        "/s",
        Goal::Least(15_000.0),
    );
    rows.rates(
        "SQLite: no-op jobs, concurrency 8",
        &runs.0,
        "apalis-sqlite, batch 10",
        &runs.1,
        Goal::None,
    );
    rows.rates(
        "SQLite: no-op jobs, concurrency 8",
        &runs.0,
        "apalis-sqlite, batch 1",
        &runs.2,
        Goal::None,
    );
    rows.alone(
        "SQLite: no-op jobs, concurrency 8",
        crate::rows::median(&runs.0),
        "/s",
        Goal::Least(3000.0),
    );

    measure_idle(&jobs, &url, "SQLite", 150.0, rows).await?;

    let small = grown(&folder.path().join("small.db"), 1000).await?;
    let large = grown(&folder.path().join("large.db"), 1_000_000).await?;
    measure_growth(&small, &large, "SQLite", rows).await
}

/// A store with so many ended jobs.
async fn grown(file: &Path, count: u32) -> anyhow::Result<Jobs> {
    let jobs = Jobs::open(&format!("sqlite:{}", file.display())).await?;
    let mut connection = SqliteConnectOptions::new().filename(file).connect().await?;
    let fill = format!(
        "WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {count})
         INSERT INTO nexios_jobs (id, kind, priority, state, run_at, created, ended, keep, until, attempt, fence, args, result)
         SELECT number, 'nothing', 0, 4, now, now, now, 86400000, now + 86400000, 1, 1, '1', 'null'
         FROM numbers, (SELECT unixepoch() * 1000 AS now)"
    );
    connection.execute(AssertSqlSafe(fill)).await?;
    Ok(jobs)
}

fn said(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

async fn pool(file: &Path) -> anyhow::Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true);
    let pool = SqlitePoolOptions::new().connect_with(options).await?;
    SqliteStorage::setup(&pool).await.map_err(said)?;
    Ok(pool)
}

fn config(queue: &str, batch: usize) -> Config {
    Config::default().queue(queue).batch_size(batch)
}

static RUN: AtomicU64 = AtomicU64::new(0);

async fn nothing(_: u64) -> Result<(), BoxDynError> {
    RUN.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Until all have run; when their ends are written is not known.
async fn run_theirs(
    pool: &SqlitePool,
    queue: &str,
    batch: usize,
    count: u64,
) -> anyhow::Result<f64> {
    RUN.store(0, Ordering::Relaxed);
    // As it polls by itself: a backlog is taken batch after batch.
    let storage = SqliteStorage::<u64>::new(pool).with_config(config(queue, batch));
    let began = Instant::now();
    let worker = WorkerBuilder::new(format!("worker of {queue}"))
        .backend(storage)
        .concurrency(8)
        .build(nothing);
    let running =
        tokio::spawn(async move { worker.run().await.map_err(|error| error.to_string()) });
    while RUN.load(Ordering::Relaxed) < count {
        anyhow::ensure!(!running.is_finished(), "it stopped: {:?}", running.await);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let rate = rate(count, began);
    running.abort();
    Ok(rate)
}
