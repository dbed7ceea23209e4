//! What an attempt knows of how far those before it came.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use nexios::Drain;
use nexios_jobs::{JobContext, JobError, JobFailure, JobState, Policy};

use crate::{
    kit::{ECHO, Kit, begun, end, millis},
    on_every_engine,
};

on_every_engine!(
    an_attempt_knows_what_those_before_it_said_last,
    a_job_that_was_handed_back_knows_where_its_drain_stopped_it,
    a_job_that_is_tried_again_after_its_end_goes_on,
);

type Seen = Arc<Mutex<Vec<Option<(u64, u64, Option<String>)>>>>;

/// Remembers what an attempt knows; how many there were before.
fn look(seen: &Seen, job: &JobContext) -> usize {
    let mut seen = seen.lock().unwrap();
    let last = job.last_progress();
    seen.push(last.map(|last| (last.done, last.total, last.message.clone())));
    seen.len() - 1
}

fn told(done: u64, total: u64, message: Option<&str>) -> Option<(u64, u64, Option<String>)> {
    Some((done, total, message.map(str::to_owned)))
}

async fn an_attempt_knows_what_those_before_it_said_last(kit: Kit) {
    let jobs = kit.jobs().await;
    let seen = Seen::default();
    let handler = {
        let seen = seen.clone();
        move |number: u64, job: JobContext| {
            let before = look(&seen, &job);
            async move {
                match before {
                    0 => {
                        job.progress(1, 10);
                        job.progress(3, 10);
                        Err(JobError::from("the first"))
                    }
                    1 => {
                        job.progress(5, 10);
                        job.message("five");
                        Err(JobError::snooze(millis(1)))
                    }
                    2 => panic!("with nothing to say"),
                    3 => {
                        job.message("six");
                        Err(JobError::from("the last"))
                    }
                    _ => Ok(number),
                }
            }
        }
    };
    let policy = Policy::new().backoff(millis(1), millis(1));
    let workers = jobs
        .workers()
        .handle(ECHO, policy, handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    job.wait().await.unwrap();
    let expected = [
        None,
        told(3, 10, None),
        told(5, 10, Some("five")),
        told(5, 10, Some("five")),
        told(5, 10, Some("six")),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
    let info = job.status().await.unwrap().unwrap();
    assert_eq!(
        (info.done, info.total, info.message.as_deref()),
        (5, 10, Some("six")),
        "others see the same"
    );
    end(&workers).await;
}

async fn a_job_that_was_handed_back_knows_where_its_drain_stopped_it(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |_, job: JobContext| async move {
        job.progress(1, 10);
        job.cancelled().await;
        job.progress(7, 10);
        Err::<u64, _>("stopped")
    };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    begun(&workers, 1).await;
    let limits = Drain {
        wait: Duration::ZERO,
        cancel: Duration::from_secs(20),
    };
    assert_eq!(workers.drain(limits).await.handed_back, ["echo"]);
    let next = |_, job: JobContext| async move {
        job.last_progress().map(|last| last.done).ok_or("nothing")
    };
    let jobs = kit.jobs().await;
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), next)
        .start()
        .await
        .unwrap();
    assert_eq!(job.wait().await.unwrap(), 7);
    end(&workers).await;
}

async fn a_job_that_is_tried_again_after_its_end_goes_on(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |_, job: JobContext| async move {
        match job.last_progress() {
            Some(last) => Ok(last.done),
            None => {
                job.progress(4, 10);
                Err(JobError::discard("no more room"))
            }
        }
    };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    let ended = job.wait().await;
    assert!(matches!(ended, Err(JobFailure::Failed { .. })), "{ended:?}");
    assert!(jobs.retry(job.id()).await.unwrap());
    assert_eq!(job.wait().await.unwrap(), 4);
    let info = job.status().await.unwrap().unwrap();
    assert_eq!((info.state, info.attempt), (JobState::Completed, 1));
    end(&workers).await;
}
