//! How users write nexios-jobs: every function here must compile against the real crates as they stand (copy this file into the
//! tests of nexios-jobs; it needs `anyhow`, `axum`, `nexios-axum`, `serde` with derive, `sqlx` with `sqlite` and `postgres`, and
//! `tokio` as dev-dependencies, and the feature `postgres`). It pins names, argument order, inference without turbofish, `?` in
//! handlers, and `Send` in axum handlers and `tokio::spawn`.
#![allow(dead_code)]

use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use nexios::{AsyncLazy, Background, CancelScope, Drain, Interrupted, TaskGroup};
use nexios_axum::NexiosApp;
use nexios_jobs::{
    Filter, JobContext, JobError, JobFailure, JobId, JobInfo, JobState, Jobs, JobsError, Kind,
    Policy, Workers,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, SqlitePool};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Letter {
    subject: String,
    recipients: Vec<String>,
}
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    sent: u64,
}

const SEND_NEWSLETTER: Kind<Letter, Report> = Kind::new("send newsletter");
const CHARGE: Kind<u64, String> = Kind::new("charge invoice");
const CLEAN_UP: Kind<(), ()> = Kind::new("clean up");
const DAILY_STATS: Kind<(), Stats> = Kind::new("daily stats");

// Enqueue in a handler, look at the job, cancel it: the web process needs no worker.

enum AppError {
    Jobs(JobsError),
    NotFound,
}
impl From<JobsError> for AppError {
    fn from(error: JobsError) -> Self {
        AppError::Jobs(error)
    }
}
impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        match self {
            AppError::NotFound => StatusCode::NOT_FOUND.into_response(),
            AppError::Jobs(JobsError::PayloadTooLarge { .. }) => {
                StatusCode::PAYLOAD_TOO_LARGE.into_response()
            }
            AppError::Jobs(JobsError::Unavailable(_)) => {
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
            AppError::Jobs(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

async fn send(
    State(jobs): State<Jobs>,
    Json(letter): Json<Letter>,
) -> Result<(StatusCode, Json<JobId>), AppError> {
    let job = jobs
        .task(SEND_NEWSLETTER)
        .unique(&letter.subject)
        .delay(Duration::from_secs(60))
        .enqueue(&letter)
        .await?;
    let status = if job.was_new() {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(job.id())))
}

async fn status(
    State(jobs): State<Jobs>,
    Path(id): Path<JobId>,
) -> Result<Json<JobInfo>, AppError> {
    jobs.get(id).await?.map(Json).ok_or(AppError::NotFound)
}

async fn cancel(State(jobs): State<Jobs>, Path(id): Path<JobId>) -> Result<StatusCode, AppError> {
    Ok(if jobs.cancel(id).await? {
        StatusCode::ACCEPTED
    } else {
        StatusCode::CONFLICT
    })
}

/// Every dead letter, page by page, once more.
async fn retry_the_dead(jobs: &Jobs) -> Result<u32, JobsError> {
    let (mut again, mut before) = (0, None);
    loop {
        let filter = Filter::new()
            .kind(SEND_NEWSLETTER)
            .state(JobState::Dead)
            .limit(50);
        let page = jobs
            .list(before.iter().fold(filter, |filter, id| filter.before(*id)))
            .await?;
        for job in &page.jobs {
            again += u32::from(jobs.retry(job.id).await?);
        }
        before = page.next;
        if before.is_none() {
            return Ok(again);
        }
    }
}

// Work: captured state, any error with `?`, progress, cancellation, groups that end with the job.

struct Mailer;
impl Mailer {
    async fn deliver(&self, recipient: &str, key: &str) -> Result<(), MailError> {
        let _ = (recipient, key);
        Err(MailError::Busy)
    }
}
#[derive(Debug)]
enum MailError {
    Busy,
    Rejected,
}
impl fmt::Display for MailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not delivered")
    }
}
impl std::error::Error for MailError {}

#[derive(Clone)]
struct Newsletters {
    mailer: Arc<Mailer>,
}
impl Newsletters {
    async fn send(self, letter: Letter, job: JobContext) -> Result<Report, JobError> {
        let total = letter.recipients.len() as u64;
        for (sent, recipient) in letter.recipients.iter().enumerate() {
            if job.is_cancelled() {
                return Err("stopped between two letters".into());
            }
            match self.mailer.deliver(recipient, job.idempotency_key()).await {
                Err(MailError::Busy) if job.attempt() < 3 => {
                    return Err(JobError::snooze(Duration::from_secs(30)));
                }
                Err(rejected @ MailError::Rejected) => return Err(JobError::discard(rejected)),
                other => other?,
            }
            job.progress(sent as u64 + 1, total);
            job.message(format!("sent to {recipient}"));
        }
        Ok(Report { sent: total })
    }
}

async fn charge(invoice: u64, job: JobContext) -> anyhow::Result<String> {
    let group = TaskGroup::new(); // ends with the job's timeout, its cancel and the shutdown
    let (customer, amount) = group
        .run(async {
            let customer = group.spawn(async { anyhow::Ok(invoice.to_string()) });
            let amount = group.spawn(async { anyhow::Ok("12".parse::<u64>()?) });
            Ok((customer.await?, amount.await?))
        })
        .await?;
    let left = CancelScope::current().and_then(|scope| scope.deadline());
    Ok(format!("{customer} pays {amount}, {left:?}, {}", job.id()))
}

async fn start(
    jobs: &Jobs,
    newsletters: Newsletters,
    pool: SqlitePool,
) -> Result<Workers, JobsError> {
    let policy = Policy::new()
        .concurrency(2)
        .timeout(Duration::from_secs(600))
        .attempts(5);
    jobs.workers()
        .handle(SEND_NEWSLETTER, policy, move |letter, job| newsletters.clone().send(letter, job))
        .handle(CHARGE, Policy::new().backoff(Duration::from_secs(5), Duration::from_secs(300)), charge)
        .handle(CLEAN_UP, Policy::new().keep(Duration::from_secs(3600)), move |(), _job| {
            let pool = pool.clone();
            async move { sqlx::query("DELETE FROM drafts").execute(&pool).await.map(|_| ()) }
        })
        .handle(DAILY_STATS, Policy::new().grace(Duration::from_secs(1)), |(), job| async move {
            tokio::select! {
                _reason = job.cancelled() => Err(JobError::retry_in(Duration::from_secs(1), "stopped")),
                stats = async { Ok(Stats { visits: 7 }) } => stats,
            }
        })
        .cron("0 3 * * *", CLEAN_UP, &())
        .cron("0 9 * * 1 Europe/Berlin", SEND_NEWSLETTER, &Letter { subject: "weekly".into(), recipients: vec![] })
        .start()
        .await
}

// A job that exists if, and only if, the row beside it does.

async fn order(pool: &SqlitePool, jobs: &Jobs, invoice: u64) -> anyhow::Result<JobId> {
    let mut tx = pool.begin().await?;
    sqlx::query("INSERT INTO invoices (id) VALUES (?)")
        .bind(invoice as i64)
        .execute(&mut *tx)
        .await?;
    let job = jobs.enqueue_in(&mut tx, CHARGE, &invoice).await?;
    tx.commit().await?;
    Ok(job.id())
}

async fn order_for_tomorrow(pool: &PgPool, jobs: &Jobs, invoice: u64) -> anyhow::Result<JobId> {
    let mut tx = pool.begin().await?;
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    let job = jobs
        .task(CHARGE)
        .unique(invoice.to_string())
        .run_at(tomorrow)
        .priority(-5)
        .enqueue_in(&mut tx, &invoice)
        .await?;
    tx.commit().await?;
    Ok(job.id())
}

// Wait for the output, from any process.

async fn report(jobs: &Jobs, letter: &Letter) -> Result<Report, JobFailure> {
    let job = jobs
        .enqueue(SEND_NEWSLETTER, letter)
        .await
        .map_err(JobFailure::Store)?;
    job.wait().await
}

async fn report_of(jobs: &Jobs, id: JobId) -> String {
    match jobs.job(SEND_NEWSLETTER, id).wait().await {
        Ok(report) => format!("{} sent", report.sent),
        Err(JobFailure::Failed { error } | JobFailure::Dead { error }) => {
            format!("given up: {error}")
        }
        Err(JobFailure::Cancelled) => "cancelled".to_owned(),
        Err(other) => other.to_string(),
    }
}

async fn many(jobs: &Jobs, invoices: &[u64]) -> Result<usize, JobsError> {
    Ok(jobs.enqueue_many(CHARGE, invoices).await?.len())
}

// A value that is computed once in the cluster and dropped on all machines together.

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stats {
    visits: u64,
}
static STORE: LazyLock<Jobs> = LazyLock::new(Jobs::memory);
static DAILY: LazyLock<AsyncLazy<Stats, JobFailure>> = LazyLock::new(|| {
    AsyncLazy::new(|| async {
        let today = STORE.task(DAILY_STATS).unique("today");
        today
            .enqueue(&())
            .await
            .map_err(JobFailure::Store)?
            .wait()
            .await
    })
});

async fn keep_the_same(jobs: &Jobs) -> Result<(), JobsError> {
    let daily = jobs.reset_everywhere(&DAILY, "daily stats").await?;
    let reload = jobs
        .on_signal("configuration changed", || println!("reload"))
        .await?;
    daily.send().await?;
    jobs.signal("configuration changed").await?;
    reload.stop();
    Ok(())
}

// A service that drains tasks and jobs side by side, and a program without one.

async fn serve(newsletters: Newsletters, pool: SqlitePool) -> anyhow::Result<()> {
    let jobs = Jobs::open("sqlite:newsroom-data/jobs.db").await?;
    let workers = start(&jobs, newsletters, pool).await?;
    let background = Background::new();
    let router = Router::new()
        .route("/send-newsletter", post(send))
        .route("/jobs/{id}", get(status))
        .route("/jobs/{id}/cancel", post(cancel))
        .with_state(jobs);
    NexiosApp::new(router)
        .background(background)
        .background(workers)
        .serve("127.0.0.1:8080")
        .await?;
    Ok(())
}

async fn work_only(workers: Workers) -> usize {
    let report = workers
        .drain(Drain {
            wait: Duration::from_secs(20),
            cancel: Duration::from_secs(3),
        })
        .await;
    report.completed.len() + report.handed_back.len()
}

async fn patient() -> Result<Jobs, JobsError> {
    Jobs::builder()
        .lease(Duration::from_secs(10))
        .open("postgres://newsroom@db/newsroom")
        .await
}

fn errors_become_job_errors(
    interrupted: Interrupted,
    io: std::io::Error,
    any: anyhow::Error,
) -> [JobError; 5] {
    [
        interrupted.into(),
        io.into(),
        any.into(),
        "text".into(),
        String::from("text").into(),
    ]
}

fn all_futures_are_send(
    jobs: Jobs,
    pool: SqlitePool,
    postgres: PgPool,
    id: JobId,
    workers: Workers,
) {
    fn assert_send<T: Send>(_: T) {}
    drop(tokio::spawn(async move {
        let letter = Letter {
            subject: String::new(),
            recipients: Vec::new(),
        };
        let _ = report(&jobs, &letter).await;
        let _ = report_of(&jobs, id).await;
        let _ = order(&pool, &jobs, 7).await;
        let _ = order_for_tomorrow(&postgres, &jobs, 7).await;
        let _ = many(&jobs, &[1, 2]).await;
        let _ = retry_the_dead(&jobs).await;
        let _ = keep_the_same(&jobs).await;
        let _ = jobs.pause(SEND_NEWSLETTER).await;
        let _ = jobs.resume("send newsletter").await;
        let _ = work_only(workers).await;
    }));
    assert_send(patient());
}
