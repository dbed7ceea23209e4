//! What the history of a job says of its attempts.

use std::time::Duration;

use nexios_jobs::{AttemptEnd, JobContext, JobError, JobFailure, JobInfo, JobState, Kind, Policy};

use crate::{
    kit::{ECHO, Kit, NOW, begun, end, millis, until},
    on_every_engine,
};

on_every_engine!(
    each_attempt_says_what_became_of_it_and_the_number_of_one_that_did_not_count_is_given_again,
    the_attempt_of_a_cancelled_job_says_so_unless_it_had_a_value,
    the_attempt_of_a_job_that_is_given_up_has_failed,
    a_panic_a_timeout_and_a_payload_that_cannot_be_read_are_failed_attempts,
);

fn ends(info: &JobInfo) -> Vec<(u32, Option<AttemptEnd>)> {
    let attempts = info.attempts.iter();
    attempts
        .map(|attempt| (attempt.number, attempt.end))
        .collect()
}

async fn each_attempt_says_what_became_of_it_and_the_number_of_one_that_did_not_count_is_given_again(
    kit: Kit,
) {
    let jobs = kit.jobs().await;
    let handler = |_, job: JobContext| async move {
        match job.last_progress().map_or(0, |last| last.done) {
            0 => {
                job.progress(1, 3);
                Err(JobError::snooze(millis(1)))
            }
            1 => {
                job.progress(2, 3);
                Err(JobError::from("busy"))
            }
            _ => {
                job.progress(3, 3);
                job.cancelled().await;
                Err::<u64, _>("stopped".into())
            }
        }
    };
    let policy = Policy::new().backoff(millis(1), millis(1));
    let workers = jobs
        .workers()
        .handle(ECHO, policy.clone(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    while until(&job, JobState::Running).await.done < 3 {
        tokio::time::sleep(millis(10)).await;
    }
    let mut expected = vec![
        (1, Some(AttemptEnd::Snoozed)),
        (1, Some(AttemptEnd::Failed)),
        (2, None),
    ];
    let running = job.status().await.unwrap().unwrap();
    assert_eq!(ends(&running), expected);
    assert_eq!(workers.drain(NOW).await.handed_back, ["echo"]);

    expected[2].1 = Some(AttemptEnd::HandedBack);
    let handed_back = job.status().await.unwrap().unwrap();
    assert_eq!(ends(&handed_back), expected);
    assert_eq!(handed_back.attempt, 1);

    let jobs = kit.jobs().await;
    let echo = |number, _| async move { Ok::<u64, String>(number) };
    let workers = jobs
        .workers()
        .handle(ECHO, policy, echo)
        .start()
        .await
        .unwrap();
    job.wait().await.unwrap();
    expected.push((2, Some(AttemptEnd::Completed)));
    assert_eq!(ends(&job.status().await.unwrap().unwrap()), expected);
    end(&workers).await;
}

async fn the_attempt_of_a_cancelled_job_says_so_unless_it_had_a_value(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |number, job: JobContext| async move {
        job.cancelled().await;
        // What it says after its cancel, also a snooze, makes it no other end.
        if number == 1 {
            Err(JobError::snooze(Duration::ZERO))
        } else {
            Ok(number)
        }
    };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    for (number, said) in [(1, AttemptEnd::Cancelled), (2, AttemptEnd::Completed)] {
        let job = jobs.enqueue(ECHO, &number).await.unwrap();
        begun(&workers, 1).await;
        assert!(job.cancel().await.unwrap());
        let _ = job.wait().await;
        assert_eq!(
            ends(&job.status().await.unwrap().unwrap()),
            [(1, Some(said))]
        );
    }
    end(&workers).await;
}

async fn the_attempt_of_a_job_that_is_given_up_has_failed(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |number, _| async move {
        Err::<u64, _>(match number {
            1 => JobError::discard("never"),
            _ => JobError::from("not now"),
        })
    };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new().attempts(1), handler)
        .start()
        .await
        .unwrap();
    for number in [1, 2] {
        let job = jobs.enqueue(ECHO, &number).await.unwrap();
        let failure = job.wait().await.unwrap_err();
        assert!(matches!(
            failure,
            JobFailure::Failed { .. } | JobFailure::Dead { .. }
        ));
        let failed = [(1, Some(AttemptEnd::Failed))];
        assert_eq!(ends(&job.status().await.unwrap().unwrap()), failed);
    }
    end(&workers).await;
}

async fn a_panic_a_timeout_and_a_payload_that_cannot_be_read_are_failed_attempts(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |number: u64, job: JobContext| async move {
        match (number, job.attempt()) {
            (1, 1) => panic!("at the disco"),
            (2, 1) => std::future::pending().await,
            _ => Ok::<u64, String>(number),
        }
    };
    let policy = Policy::new().backoff(millis(1), millis(1));
    let policy = policy.timeout(millis(500)).grace(millis(1));
    let workers = jobs
        .workers()
        .handle(ECHO, policy, handler)
        .start()
        .await
        .unwrap();
    for (number, said) in [
        (1, "panicked: at the disco"),
        (2, "did not end within 500ms"),
    ] {
        let job = jobs.enqueue(ECHO, &number).await.unwrap();
        assert_eq!(job.wait().await.unwrap(), number);
        let info = job.status().await.unwrap().unwrap();
        let expected = [
            (1, Some(AttemptEnd::Failed)),
            (2, Some(AttemptEnd::Completed)),
        ];
        assert_eq!(ends(&info), expected);
        assert_eq!(info.attempts[0].error.as_deref(), Some(said));
    }
    let words: Kind<String, u64> = Kind::new("echo");
    let job = jobs.enqueue(words, &"one".to_owned()).await.unwrap();
    assert!(matches!(job.wait().await, Err(JobFailure::Dead { .. })));
    let info = job.status().await.unwrap().unwrap();
    assert_eq!(ends(&info), [(1, Some(AttemptEnd::Failed))]);
    assert_eq!(info.attempts[0].error, info.error);
    end(&workers).await;
}
