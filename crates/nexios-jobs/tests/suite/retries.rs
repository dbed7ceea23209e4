//! What an error means.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use nexios_jobs::{JobContext, JobError, JobFailure, JobState, Kind, Policy};

use crate::{
    kit::{ECHO, Kit, counted, end, millis, until},
    on_every_engine, warnings,
};

on_every_engine!(
    a_failed_attempt_is_tried_again_after_the_backoff,
    a_failed_attempt_that_is_tried_again_is_one_line_in_the_log,
    one_that_fails_as_its_job_is_cancelled_is_no_failure_and_none_of_these_lines,
    attempts_that_are_spent_make_it_dead,
    a_panic_is_a_failed_attempt,
    a_discarded_job_is_failed_at_once,
    the_handler_says_when_it_is_tried_again,
    a_snooze_is_no_attempt,
    a_snooze_of_no_time_is_behind_what_is_due_by_then,
    a_dead_job_is_revived_with_all_its_attempts,
    the_idempotency_key_is_the_same_for_every_attempt,
    the_newest_twenty_attempts_are_remembered,
);

fn quick() -> Policy {
    Policy::new().backoff(millis(1), millis(1))
}

async fn a_failed_attempt_is_tried_again_after_the_backoff(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |number, job: JobContext| async move {
        match job.attempt() {
            3 => Ok(number),
            attempt => Err(format!("attempt {attempt}")),
        }
    };
    let policy = Policy::new().backoff(millis(300), Duration::from_secs(10));
    let workers = jobs
        .workers()
        .handle(ECHO, policy, handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    let info = until(&job, JobState::Retrying).await;
    assert_eq!(info.error.as_deref(), Some("attempt 1"));
    job.wait().await.unwrap();
    let info = job.status().await.unwrap().unwrap();
    assert_eq!(info.attempt, 3);
    let gap = |one: usize| {
        let ended = info.attempts[one].ended.unwrap();
        info.attempts[one + 1]
            .started
            .duration_since(ended)
            .unwrap()
    };
    for (gap, most) in [(gap(0), 300), (gap(1), 600)] {
        assert!(
            gap >= millis(most / 2),
            "{gap:?}, drawn from the upper half of {most} ms"
        );
        assert!(gap < millis(most + 4000), "{gap:?} for {most} ms");
    }
    let errors: Vec<_> = info
        .attempts
        .iter()
        .map(|attempt| attempt.error.as_deref())
        .collect();
    assert_eq!(errors, [Some("attempt 1"), Some("attempt 2"), None]);
    end(&workers).await;
}

async fn a_failed_attempt_that_is_tried_again_is_one_line_in_the_log(kit: Kit) {
    const FLAKY: Kind<u32, u32> = Kind::new("flaky");
    warnings::listen();
    let jobs = kit.jobs().await;
    let handler = |number: u32, job: JobContext| async move {
        match job.attempt() {
            1 => Err(format!("busy {number}")),
            _ => Ok(number),
        }
    };
    let workers = jobs
        .workers()
        .handle(FLAKY, quick(), handler)
        .start()
        .await
        .unwrap();
    // Another one for each store, as the lines of all are in one list.
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let job = jobs.enqueue(FLAKY, &number).await.unwrap();
    let _ = job.wait().await;
    let error = format!("error=\"busy {number}\" ");
    let lines = warnings::of(
        job.id(),
        "flaky",
        "an attempt failed, the job is tried again",
    );
    let of_it: Vec<_> = lines.iter().filter(|line| line.contains(&error)).collect();
    assert_eq!(of_it.len(), 1, "{lines:?}");
    assert!(
        of_it[0].contains("attempt=1 ") && of_it[0].contains("after="),
        "{of_it:?}"
    );
    end(&workers).await;
}

async fn one_that_fails_as_its_job_is_cancelled_is_no_failure_and_none_of_these_lines(kit: Kit) {
    const STOPPED: Kind<(), u32> = Kind::new("stopped");
    warnings::listen();
    let jobs = kit.jobs().await;
    let store = jobs.clone();
    let handler = move |(), job: JobContext| {
        let store = store.clone();
        async move {
            // In the store, before anybody here hears of it.
            store.cancel(job.id()).await?;
            Err::<u32, _>(JobError::from("busy"))
        }
    };
    let workers = jobs
        .workers()
        .handle(STOPPED, quick(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(STOPPED, &()).await.unwrap();
    assert!(matches!(job.wait().await, Err(JobFailure::Cancelled)));
    end(&workers).await;
    let said = "an attempt failed, the job is tried again";
    let lines = warnings::of(job.id(), "stopped", said);
    assert!(lines.is_empty(), "{lines:?}");
    assert_eq!(workers.stats().failed, 0);
}

async fn attempts_that_are_spent_make_it_dead(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler =
        |_, job: JobContext| async move { Err::<u64, _>(format!("{} of 3", job.attempt())) };
    let workers = jobs
        .workers()
        .handle(ECHO, quick().attempts(3), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    assert!(matches!(job.wait().await, Err(JobFailure::Dead { error }) if error == "3 of 3"));
    counted(&workers, 0, 3).await;
    end(&workers).await;
}

async fn a_panic_is_a_failed_attempt(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |number: u64, job: JobContext| async move {
        assert!(job.attempt() > 1, "not at first");
        Ok::<_, String>(number)
    };
    let workers = jobs
        .workers()
        .handle(ECHO, quick(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    assert_eq!(job.wait().await.unwrap(), 1);
    let info = job.status().await.unwrap().unwrap();
    assert_eq!(
        info.attempts[0].error.as_deref(),
        Some("panicked: not at first")
    );
    end(&workers).await;
}

async fn a_discarded_job_is_failed_at_once(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |_, _| async { Err::<u64, _>(JobError::discard("no such mailbox")) };
    let workers = jobs
        .workers()
        .handle(ECHO, quick(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    let failure = job.wait().await;
    assert!(matches!(failure, Err(JobFailure::Failed { error }) if error == "no such mailbox"));
    assert_eq!(job.status().await.unwrap().unwrap().attempt, 1);
    end(&workers).await;
}

async fn the_handler_says_when_it_is_tried_again(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |number, job: JobContext| async move {
        if job.attempt() == 1 {
            return Err(JobError::retry_in(millis(500), "greylisted"));
        }
        Ok(number)
    };
    let workers = jobs
        .workers()
        .handle(ECHO, quick(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    job.wait().await.unwrap();
    let info = job.status().await.unwrap().unwrap();
    let gap = info.attempts[1]
        .started
        .duration_since(info.attempts[0].ended.unwrap())
        .unwrap();
    assert!(gap >= millis(500) && gap < millis(5000), "{gap:?}");
    assert_eq!(info.attempt, 2, "it is an attempt like others");
    end(&workers).await;
}

async fn a_snooze_is_no_attempt(kit: Kit) {
    let jobs = kit.jobs().await;
    let snoozes = std::sync::atomic::AtomicU32::new(0);
    let handler = move |number, job: JobContext| {
        let snoozed = snoozes.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            assert_eq!(job.attempt(), 1);
            if snoozed < 3 {
                return Err(JobError::snooze(millis(20)));
            }
            Ok(number)
        }
    };
    let workers = jobs
        .workers()
        .handle(ECHO, quick().attempts(1), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    job.wait().await.unwrap();
    let info = job.status().await.unwrap().unwrap();
    assert_eq!(
        (info.attempt, info.attempts.len(), info.error),
        (1, 4, None)
    );
    assert_eq!(workers.stats().failed, 0);
    end(&workers).await;
}

async fn a_snooze_of_no_time_is_behind_what_is_due_by_then(kit: Kit) {
    let jobs = kit.jobs().await;
    let first = jobs.enqueue(ECHO, &1).await.unwrap();
    tokio::time::sleep(millis(5)).await;
    let second = jobs.enqueue(ECHO, &2).await.unwrap();
    let begun = Arc::new(Mutex::new(Vec::new()));
    let seen = begun.clone();
    let handler = move |number, _| {
        let is_new = !seen.lock().unwrap().contains(&number);
        seen.lock().unwrap().push(number);
        async move {
            tokio::time::sleep(millis(5)).await;
            match number {
                1 if is_new => Err(JobError::snooze(Duration::ZERO)),
                _ => Ok::<u64, _>(number),
            }
        }
    };
    let workers = jobs
        .workers()
        .handle(ECHO, quick().concurrency(1), handler)
        .start()
        .await
        .unwrap();
    for job in [first, second] {
        job.wait().await.unwrap();
    }
    assert_eq!(*begun.lock().unwrap(), [1, 2, 1]);
    end(&workers).await;
}

async fn a_dead_job_is_revived_with_all_its_attempts(kit: Kit) {
    let jobs = kit.jobs().await;
    let calls = std::sync::atomic::AtomicU32::new(0);
    let handler = move |number, job: JobContext| {
        let call = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            if call < 2 {
                return Err("not yet");
            }
            assert_eq!(job.attempt(), 1, "from 1");
            Ok(number)
        }
    };
    let workers = jobs
        .workers()
        .handle(ECHO, quick().attempts(2), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.task(ECHO).unique("k").enqueue(&1).await.unwrap();
    assert!(matches!(job.wait().await, Err(JobFailure::Dead { .. })));
    assert!(jobs.retry(job.id()).await.unwrap());
    assert_eq!(job.wait().await.unwrap(), 1);
    let info = job.status().await.unwrap().unwrap();
    assert_eq!(
        (info.attempt, info.attempts.len()),
        (1, 3),
        "the history is kept"
    );
    assert!(
        !jobs.retry(job.id()).await.unwrap(),
        "a completed one is not run again"
    );
    end(&workers).await;
}

async fn the_idempotency_key_is_the_same_for_every_attempt(kit: Kit) {
    let jobs = kit.jobs().await;
    let keys = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = keys.clone();
    let handler = move |number, job: JobContext| {
        seen.lock().unwrap().push(job.idempotency_key().to_owned());
        async move {
            if job.attempt() == 1 {
                Err("again")
            } else {
                Ok(number)
            }
        }
    };
    let workers = jobs
        .workers()
        .handle(ECHO, quick().concurrency(1), handler)
        .start()
        .await
        .unwrap();
    jobs.enqueue(ECHO, &1).await.unwrap().wait().await.unwrap();
    jobs.enqueue(ECHO, &2).await.unwrap().wait().await.unwrap();
    let keys = keys.lock().unwrap().clone();
    assert_eq!((&keys[0], &keys[2]), (&keys[1], &keys[3]));
    assert_ne!(keys[0], keys[2], "no other job has it");
    end(&workers).await;
}

async fn the_newest_twenty_attempts_are_remembered(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |number, job: JobContext| async move {
        if job.attempt() < 25 {
            Err("again")
        } else {
            Ok(number)
        }
    };
    let workers = jobs
        .workers()
        .handle(ECHO, quick().attempts(30), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    job.wait().await.unwrap();
    let info = job.status().await.unwrap().unwrap();
    let numbers: Vec<_> = info.attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (6..=25).collect::<Vec<_>>());
    end(&workers).await;
}
