//! Postgres: beside graphile_worker by itself, which keeps neither results nor history.

use std::{
    path::Path,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions,
};
use nexios_jobs::Jobs;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, postgres::PgConnectOptions};

use crate::{
    ROUNDS,
    rows::{Goal, Rows},
    server::Server,
    store::{enqueue_singly, enqueue_together, measure_growth, measure_idle, rate, run_waiting},
};

const JOBS: u64 = 5000;
const SINGLY: u64 = 1000;

pub(crate) async fn measure(folder: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    let server = Server::start(folder)?;
    let url = database(&server, "ours").await?;
    let jobs = Jobs::open(&url).await?;
    let theirs = database(&server, "theirs").await?;
    let pool = PgPool::connect_with(PgConnectOptions::from_str(&theirs)?).await?;
    let utils = WorkerOptions::default()
        .define_job::<Nothing>()
        .pg_pool(pool.clone())
        .listen_os_shutdown_signals(false)
        .init()
        .await?
        .create_utils();

    let mut singly = (Vec::new(), Vec::new());
    let mut together = (Vec::new(), Vec::new());
    let mut runs = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        singly.0.push(enqueue_singly(&jobs, SINGLY).await?);
        let began = Instant::now();
        for number in 0..SINGLY {
            utils
                .add_job(Nothing { number }, JobSpec::default())
                .await?;
        }
        singly.1.push(rate(SINGLY, began));

        together.0.push(enqueue_together(&jobs, JOBS).await?);
        let spec = JobSpec::default();
        let numbers: Vec<_> = (0..JOBS)
            .map(|number| (Nothing { number }, &spec))
            .collect();
        let began = Instant::now();
        utils.add_jobs::<Nothing>(&numbers).await?;
        together.1.push(rate(JOBS, began));

        runs.0.push(run_waiting(&jobs, JOBS + SINGLY).await?);
        runs.1.push(run_theirs(&pool, JOBS + SINGLY).await?);
    }
    let rival = "graphile_worker";
    rows.rates(
        "Postgres: enqueue one by one",
        &singly.0,
        rival,
        &singly.1,
        Goal::None,
    );
    rows.rates(
        "Postgres: enqueue together",
        &together.0,
        rival,
        &together.1,
        Goal::None,
    );
    let rival = "graphile_worker, LocalQueue 200";
    rows.rates(
        "Postgres: no-op jobs, concurrency 8",
        &runs.0,
        rival,
        &runs.1,
        Goal::Least(0.7),
    );

    measure_idle(&jobs, &url, "Postgres", 20.0, rows).await?;

    let (small, large) = (
        database(&server, "small").await?,
        database(&server, "large").await?,
    );
    measure_growth(
        &grown(&small, 1000).await?,
        &grown(&large, 1_000_000).await?,
        "Postgres",
        rows,
    )
    .await
}

async fn database(server: &Server, name: &'static str) -> anyhow::Result<String> {
    let mut connection = PgConnection::connect(&server.url("postgres")).await?;
    connection
        .execute(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .await?;
    Ok(server.url(name))
}

/// A store with so many ended jobs.
async fn grown(url: &str, count: u32) -> anyhow::Result<Jobs> {
    let jobs = Jobs::open(url).await?;
    let mut connection = PgConnection::connect(url).await?;
    let fill = format!(
        "INSERT INTO nexios_jobs.jobs (kind, priority, state, run_at, created, ended, keep, until, attempt, fence, args, result)
         SELECT 'nothing', 0, 4, now, now, now, 86400000, now + 86400000, 1, 1, '1', 'null'
         FROM (SELECT nexios_jobs.now_ms() AS now) AS clock, generate_series(1, {count})"
    );
    connection.execute(AssertSqlSafe(fill)).await?;
    Ok(jobs)
}

#[derive(Clone, Serialize, Deserialize)]
struct Nothing {
    number: u64,
}

static RUN: AtomicU64 = AtomicU64::new(0);

impl TaskHandler for Nothing {
    const IDENTIFIER: &'static str = "nothing";

    async fn run(self, _: WorkerContext) -> impl IntoTaskHandlerResult {
        RUN.fetch_add(1, Ordering::Relaxed);
        Ok::<(), String>(())
    }
}

/// Until all have run; when their ends are written is not known.
async fn run_theirs(pool: &PgPool, count: u64) -> anyhow::Result<f64> {
    RUN.store(0, Ordering::Relaxed);
    let began = Instant::now();
    let worker = WorkerOptions::default()
        .concurrency(8)
        .define_job::<Nothing>()
        .pg_pool(pool.clone())
        .listen_os_shutdown_signals(false)
        .local_queue(LocalQueueConfig::default().with_size(200))
        .init()
        .await?;
    let worker = std::sync::Arc::new(worker);
    let running = tokio::spawn({
        let worker = worker.clone();
        async move { worker.run().await.map_err(|error| error.to_string()) }
    });
    while RUN.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let rate = rate(count, began);
    worker.request_shutdown();
    let _ = tokio::time::timeout(Duration::from_secs(10), running).await;
    Ok(rate)
}
