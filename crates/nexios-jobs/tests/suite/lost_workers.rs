//! What is said of the jobs whose workers were lost, and where.

use std::time::Duration;

use nexios_jobs::{AttemptEnd, JobFailure, JobState, Jobs, Policy};
use tokio::time::{Instant, sleep};

use crate::{
    child::{MARK, Mark, Part, Play, Process, notes},
    kit::{ECHO, Kit, end, millis, until},
    on_every_shared_engine, warnings,
};

on_every_shared_engine!(
    jobs_of_a_lost_worker_are_named_and_counted_by_whoever_finds_them,
    a_job_that_was_cancelled_does_not_come_back_when_its_worker_is_lost,
);

async fn jobs_of_a_lost_worker_are_named_and_counted_by_whoever_finds_them(kit: Kit) {
    const COUNT: usize = 3;
    warnings::listen();
    let lease = Duration::from_secs(2);
    let jobs = kit.open(Jobs::builder().lease(lease)).await;
    let mark = |number| Mark {
        number,
        millis: 600_000,
        holds: false,
    };
    let marks: Vec<_> = (0..COUNT as u32).map(mark).collect();
    let handles = jobs.enqueue_many(MARK, &marks).await.unwrap();
    let part = Part {
        url: kit.url(),
        folder: kit.folder().to_owned(),
        lease,
        play: Play::Work { concurrency: COUNT },
    };
    let mut killed = Process::start(&part);
    let began = Instant::now();
    while notes(kit.folder(), "start").len() < COUNT {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody began");
        sleep(millis(20)).await;
    }
    killed.kill();
    // It has no handler for them.
    let echo = |number, _| async move { Ok::<u64, String>(number) };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), echo)
        .start()
        .await
        .unwrap();
    while workers.stats().recovered < COUNT as u64 {
        assert!(began.elapsed() < Duration::from_secs(120), "nobody looked");
        sleep(millis(20)).await;
    }
    sleep(lease).await;
    assert_eq!(workers.stats().recovered, COUNT as u64, "each once");
    let said = "message=the worker was lost; the job is tried again";
    for job in &handles {
        let info = job.status().await.unwrap().unwrap();
        assert_eq!((info.state, info.attempt), (JobState::Retrying, 1));
        assert_eq!(info.attempts[0].end, Some(AttemptEnd::Lost));
        let lines = warnings::of(job.id(), "mark", said);
        assert!(
            !lines.is_empty() && lines.iter().all(|line| line.contains("attempt=1 ")),
            "{lines:?}"
        );
    }
    end(&workers).await;
}

async fn a_job_that_was_cancelled_does_not_come_back_when_its_worker_is_lost(kit: Kit) {
    warnings::listen();
    let lease = Duration::from_secs(2);
    let jobs = kit.open(Jobs::builder().lease(lease)).await;
    let mark = Mark {
        number: 1,
        millis: 600_000,
        holds: false,
    };
    let job = jobs.enqueue(MARK, &mark).await.unwrap();
    let part = Part {
        url: kit.url(),
        folder: kit.folder().to_owned(),
        lease,
        play: Play::Work { concurrency: 1 },
    };
    let mut killed = Process::start(&part);
    until(&job, JobState::Running).await;
    killed.kill();
    assert!(job.cancel().await.unwrap());
    let echo = |number, _| async move { Ok::<u64, String>(number) };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), echo)
        .start()
        .await
        .unwrap();
    let info = until(&job, JobState::Cancelled).await;
    assert!(matches!(job.wait().await, Err(JobFailure::Cancelled)));
    assert_eq!(info.attempt, 1);
    assert_eq!(info.attempts[0].end, Some(AttemptEnd::Lost));
    assert!(info.attempts[0].ended == info.ended && info.ended.is_some());
    let lines = warnings::of(job.id(), "mark", "the worker was lost");
    assert!(lines.is_empty(), "{lines:?}");

    assert!(jobs.retry(job.id()).await.unwrap());
    let revived = job.status().await.unwrap().unwrap();
    assert_eq!((revived.state, revived.attempt), (JobState::Ready, 0));
    assert_eq!(revived.attempts.len(), 1, "its history goes on");
    end(&workers).await;
}
