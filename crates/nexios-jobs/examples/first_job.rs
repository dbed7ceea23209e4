//! A job from one end to the other: `cargo run --example first_job`.

#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::time::Duration;

use nexios_jobs::{JobContext, JobError, JobFailure, JobState, Jobs, Kind, Policy};

/// What those who enqueue and those who work share.
const GREET: Kind<String, String> = Kind::new("greet");

async fn greet(name: String, job: JobContext) -> Result<String, JobError> {
    match job.attempt() {
        // Tried again by the policy.
        1 => Err("the line is busy".into()),
        attempt => Ok(format!("Hello {name}, after {attempt} attempts")),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    run(&format!("sqlite:{}/jobs.db", folder.path().display())).await
}

pub(crate) async fn run(url: &str) -> anyhow::Result<()> {
    let jobs = Jobs::open(url).await?;
    let policy = Policy::new().backoff(Duration::from_millis(10), Duration::from_secs(1));
    let _workers = jobs.workers().handle(GREET, policy, greet).start().await?;

    let job = jobs.enqueue(GREET, &"Ada".to_owned()).await?;
    println!("{}", job.wait().await?);

    let later = jobs
        .task(GREET)
        .delay(Duration::from_secs(3600))
        .unique("Grace");
    let job = later.clone().enqueue(&"Grace".to_owned()).await?;
    let same = later.enqueue(&"Grace".to_owned()).await?;
    println!(
        "one job for the key: {}",
        same.id() == job.id() && !same.was_new()
    );
    job.cancel().await?;
    println!(
        "cancelled: {}",
        matches!(job.wait().await, Err(JobFailure::Cancelled))
    );

    // All its attempts anew, and now.
    jobs.retry(job.id()).await?;
    println!("{}", job.wait().await?);
    let info = job.status().await?.expect("it is kept for a day");
    assert_eq!((info.state, info.attempts.len()), (JobState::Completed, 2));
    Ok(())
}
