//! Durable jobs in a service.

use std::time::Duration;

use axum::Router;
use nexios::{Drain, Drainable};
use nexios_axum::{NexiosApp, Problem};
use nexios_jobs::{JobContext, JobFailure, JobState, Jobs, JobsError, Kind, Policy};

use crate::answer::Answer;

const WAIT: Kind<()> = Kind::new("wait");

#[tokio::test]
async fn an_error_of_the_store_of_jobs_is_a_problem() {
    let large = "x".repeat(Jobs::MAX_PAYLOAD);
    let text: Kind<String> = Kind::new("text");
    let too_large = Jobs::memory().enqueue(text, &large).await.unwrap_err();
    Answer::of(Problem::from(too_large)).await.problem(413);
    let reason = "it cannot be read".to_owned();
    let url = JobsError::Url { reason };
    Answer::of(Problem::from(url)).await.problem(500);
}

#[tokio::test]
async fn a_service_that_ends_hands_its_jobs_back_and_abandons_nothing() {
    let jobs = Jobs::memory();
    let handler = |(), job: JobContext| async move {
        job.cancelled().await;
        Err::<(), _>("stopped")
    };
    let workers = jobs
        .workers()
        .handle(WAIT, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(WAIT, &()).await.unwrap();
    while job.status().await.unwrap().unwrap().state != JobState::Running {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(Drainable::unfinished(&workers), ["job wait"]);
    let app = NexiosApp::new(Router::new())
        .background(workers.clone())
        .accepting(Duration::ZERO)
        .cancelling(Duration::from_secs(2))
        .shutdown_limit(Duration::from_secs(3));
    let handle = app.handle();
    handle.stop();
    let report = app.serve("127.0.0.1:0").await.unwrap();
    assert_eq!(report.handed_back, ["wait"]);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(job.status().await.unwrap().unwrap().state, JobState::Ready);
    let again = workers
        .drain(Drain {
            wait: Duration::ZERO,
            cancel: Duration::ZERO,
        })
        .await;
    assert_eq!(again.handed_back, ["wait"]);
}

#[tokio::test]
async fn the_failure_of_a_job_is_a_problem() {
    let error = "no paper".to_owned();
    let large = "x".repeat(Jobs::MAX_PAYLOAD);
    let text: Kind<String> = Kind::new("text");
    let too_large = Jobs::memory().enqueue(text, &large).await.unwrap_err();
    for (failure, status) in [
        (JobFailure::Gone, 404),
        (JobFailure::Cancelled, 409),
        (JobFailure::Failed { error }, 500),
        (JobFailure::Store(too_large), 413),
    ] {
        Answer::of(Problem::from(failure)).await.problem(status);
    }
}
