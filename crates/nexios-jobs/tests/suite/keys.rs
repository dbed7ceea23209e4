//! Unique keys live as long as their jobs do.

use nexios_jobs::{Filter, JobError, JobState, JobsError, Kind, Policy};

use crate::{
    kit::{ECHO, Kit, end, millis},
    on_every_engine,
};

on_every_engine!(
    while_a_job_lives_its_key_returns_it,
    a_key_is_free_again_when_its_job_has_ended,
    a_job_is_not_revived_while_another_has_its_key,
    a_race_for_a_key_makes_one_job,
    a_key_that_is_too_long_is_refused,
    a_job_is_found_by_the_key_that_was_given_whatever_is_in_it,
);

async fn a_job_is_found_by_the_key_that_was_given_whatever_is_in_it(kit: Kit) {
    let jobs = kit.jobs().await;
    for key in ["", "a\0b", "a b'%_\u{1F980}"] {
        let job = jobs.task(ECHO).unique(key).enqueue(&1).await.unwrap();
        let found = jobs.list(Filter::new().key(key)).await.unwrap().jobs;
        let found: Vec<_> = found.iter().map(|job| job.id).collect();
        assert_eq!(found, [job.id()], "{key:?}");
    }
    let nothing = jobs.list(Filter::new().kind("\0")).await.unwrap();
    assert!(nothing.jobs.is_empty());
}

async fn while_a_job_lives_its_key_returns_it(kit: Kit) {
    let jobs = kit.jobs().await;
    let first = jobs
        .task(ECHO)
        .unique("k")
        .delay(millis(60_000))
        .enqueue(&1)
        .await
        .unwrap();
    let second = jobs
        .task(ECHO)
        .unique("k")
        .priority(-9)
        .enqueue(&2)
        .await
        .unwrap();
    assert_eq!(second.id(), first.id());
    assert!(first.was_new() && !second.was_new());
    let info = second.status().await.unwrap().unwrap();
    assert_eq!(
        (info.priority, info.state),
        (0, JobState::Scheduled),
        "as it is"
    );
    assert_eq!(info.key.as_deref(), Some("k"));
    let echo = |number, _| async move { Ok::<u64, String>(number) };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), echo)
        .start()
        .await
        .unwrap();
    assert!(jobs.retry(first.id()).await.unwrap(), "at once");
    assert_eq!(second.wait().await.unwrap(), 1, "its arguments are its own");
    end(&workers).await;
    let other: Kind<u64> = Kind::new("other");
    assert!(
        jobs.task(other)
            .unique("k")
            .enqueue(&1)
            .await
            .unwrap()
            .was_new(),
        "per kind"
    );
}

async fn a_key_is_free_again_when_its_job_has_ended(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |number: u64, _| async move {
        if number == 0 {
            Err(JobError::discard("no"))
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
    for number in [0, 1, 2] {
        let job = jobs.task(ECHO).unique("k").enqueue(&number).await.unwrap();
        assert!(job.was_new());
        let _ = job.wait().await;
    }
    end(&workers).await;
    let cancelled = jobs.task(ECHO).unique("k").enqueue(&3).await.unwrap();
    assert!(cancelled.was_new() && cancelled.cancel().await.unwrap());
    assert!(
        jobs.task(ECHO)
            .unique("k")
            .enqueue(&4)
            .await
            .unwrap()
            .was_new()
    );
}

async fn a_job_is_not_revived_while_another_has_its_key(kit: Kit) {
    let jobs = kit.jobs().await;
    let first = jobs.task(ECHO).unique("k").enqueue(&1).await.unwrap();
    first.cancel().await.unwrap();
    let second = jobs.task(ECHO).unique("k").enqueue(&2).await.unwrap();
    assert!(!jobs.retry(first.id()).await.unwrap());
    assert_eq!(
        first.status().await.unwrap().unwrap().state,
        JobState::Cancelled
    );
    second.cancel().await.unwrap();
    assert!(jobs.retry(first.id()).await.unwrap());
    let third = jobs.task(ECHO).unique("k").enqueue(&3).await.unwrap();
    assert_eq!(third.id(), first.id(), "it has its key again");
}

async fn a_race_for_a_key_makes_one_job(kit: Kit) {
    let jobs = kit.jobs().await;
    let mut racers = tokio::task::JoinSet::new();
    for number in 0..16 {
        let jobs = jobs.clone();
        racers.spawn(async move { jobs.task(ECHO).unique("k").enqueue(&number).await.unwrap() });
    }
    let handles = racers.join_all().await;
    assert_eq!(handles.iter().filter(|job| job.was_new()).count(), 1);
    assert!(handles.iter().all(|job| job.id() == handles[0].id()));
}

async fn a_key_that_is_too_long_is_refused(kit: Kit) {
    let jobs = kit.jobs().await;
    let key = |length| "k".repeat(length);
    let refused = jobs.task(ECHO).unique(key(1025)).enqueue(&1).await;
    assert!(
        matches!(
            refused,
            Err(JobsError::PayloadTooLarge {
                bytes: 1025,
                limit: 1024
            })
        ),
        "{refused:?}"
    );
    let odd = format!("{}\0", key(1000));
    let first = jobs.task(ECHO).unique(&odd).enqueue(&1).await.unwrap();
    let second = jobs.task(ECHO).unique(&odd).enqueue(&1).await.unwrap();
    assert!(first.was_new() && !second.was_new());
}
