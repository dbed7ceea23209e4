//! Cancel and progress, from anywhere.

use std::{sync::Arc, time::Duration};

use nexios::CancelReason;
use nexios_jobs::{JobContext, JobFailure, JobState, Policy};
use tokio::{sync::Notify, time::Instant};

use crate::{
    kit::{ECHO, Kit, end, millis, until},
    on_every_engine,
};

on_every_engine!(
    a_waiting_job_is_cancelled_at_once,
    a_running_job_hears_of_its_cancel_and_is_not_tried_again,
    a_value_after_the_cancel_is_the_output,
    a_cancelled_job_that_ignores_it_is_dropped_after_the_grace,
    progress_is_seen_from_elsewhere_within_a_second,
    the_last_progress_is_always_there,
);

async fn a_waiting_job_is_cancelled_at_once(kit: Kit) {
    let jobs = kit.jobs().await;
    let job = jobs
        .task(ECHO)
        .delay(Duration::from_secs(3600))
        .enqueue(&1)
        .await
        .unwrap();
    assert!(job.cancel().await.unwrap());
    assert!(matches!(job.wait().await, Err(JobFailure::Cancelled)));
    assert!(!job.cancel().await.unwrap(), "it has ended");
}

async fn a_running_job_hears_of_its_cancel_and_is_not_tried_again(kit: Kit) {
    let (jobs, elsewhere) = (kit.jobs().await, kit.jobs().await);
    let handler = |_, job: JobContext| async move {
        assert_eq!(job.cancelled().await, CancelReason::Requested);
        Err::<u64, _>("stopped")
    };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    until(&job, JobState::Running).await;
    let asked = Instant::now();
    assert!(elsewhere.cancel(job.id()).await.unwrap());
    assert!(matches!(job.wait().await, Err(JobFailure::Cancelled)));
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(job.status().await.unwrap().unwrap().attempt, 1);
    end(&workers).await;
}

async fn a_value_after_the_cancel_is_the_output(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |number, job: JobContext| async move {
        job.cancelled().await;
        Ok::<u64, String>(number)
    };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    until(&job, JobState::Running).await;
    job.cancel().await.unwrap();
    assert_eq!(job.wait().await.unwrap(), 1);
    end(&workers).await;
}

async fn a_cancelled_job_that_ignores_it_is_dropped_after_the_grace(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |_, _| std::future::pending::<Result<u64, String>>();
    let policy = Policy::new().grace(millis(100));
    let workers = jobs
        .workers()
        .handle(ECHO, policy, handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    until(&job, JobState::Running).await;
    job.cancel().await.unwrap();
    assert!(matches!(job.wait().await, Err(JobFailure::Cancelled)));
    end(&workers).await;
}

async fn progress_is_seen_from_elsewhere_within_a_second(kit: Kit) {
    let (jobs, elsewhere) = (kit.jobs().await, kit.jobs().await);
    let go_on = Arc::new(Notify::new());
    let told = go_on.clone();
    let handler = move |number, job: JobContext| {
        let told = told.clone();
        async move {
            job.progress(3, 10);
            job.message("three of ten");
            told.notified().await;
            Ok::<u64, String>(number)
        }
    };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    until(&job, JobState::Running).await;
    let began = Instant::now();
    loop {
        let info = elsewhere.get(job.id()).await.unwrap().unwrap();
        if (info.done, info.total) == (3, 10) {
            assert_eq!(info.message.as_deref(), Some("three of ten"));
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(3), "{info:?}");
        tokio::time::sleep(millis(20)).await;
    }
    go_on.notify_one();
    job.wait().await.unwrap();
    end(&workers).await;
}

async fn the_last_progress_is_always_there(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |number, job: JobContext| async move {
        (1..=100).for_each(|done| job.progress(done, 100));
        Ok::<u64, String>(number)
    };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    job.wait().await.unwrap();
    let info = job.status().await.unwrap().unwrap();
    assert_eq!((info.done, info.total), (100, 100));
    end(&workers).await;
}
