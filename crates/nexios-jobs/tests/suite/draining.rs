//! The end of a process's workers.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use nexios::{CancelReason, Drain, Drainable};
use nexios_jobs::{JobContext, JobState, Kind, Policy};
use tokio::time::{Instant, sleep};

use crate::{
    kit::{ECHO, Kit, NOW, begun, end, millis, until},
    on_every_engine,
};

on_every_engine!(
    a_drain_lets_jobs_end_in_its_first_phase,
    a_drain_hands_back_what_stops_at_its_token_and_charges_nothing,
    a_value_at_a_shutdown_is_the_output,
    a_drain_drops_what_ignores_its_token_and_hands_it_back,
    nothing_is_claimed_after_a_drain_began,
    a_drain_takes_jobs_side_by_side_with_a_registry,
    two_drains_hold_the_shorter_limits_and_report_the_same,
    a_kind_has_a_wait_of_its_own_at_a_drain_and_the_others_go_on,
    the_wait_of_the_drain_is_the_longest_of_any_kind,
    what_ignores_its_early_token_goes_on_until_the_end_of_the_drain,
    what_begins_as_the_drain_does_is_told_in_its_time_too,
    what_a_drain_hands_back_keeps_its_place_before_all_that_became_due_meanwhile,
);

/// Waits until it is told to end.
const EXPORT: Kind<u64, u64> = Kind::new("export");

/// Longer than anything here takes.
const PATIENT: Drain = Drain {
    wait: Duration::from_secs(60),
    cancel: Duration::from_secs(60),
};

async fn stops_at_its_token(_: u64, job: JobContext) -> Result<u64, String> {
    Err(format!("{:?}", job.cancelled().await))
}

async fn a_drain_lets_jobs_end_in_its_first_phase(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |number: u64, _| async move {
        sleep(millis(300)).await;
        if number == 1 { Ok(number) } else { Err("no") }
    };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    let handles = jobs.enqueue_many(ECHO, &[1, 2]).await.unwrap();
    begun(&workers, 2).await;
    let patient = Drain {
        wait: Duration::from_secs(20),
        cancel: Duration::ZERO,
    };
    let report = workers.drain(patient).await;
    assert_eq!(report.completed, ["echo"]);
    assert_eq!(report.failed, ["echo"]);
    assert!(report.handed_back.is_empty() && report.abandoned.is_empty());
    assert_eq!(
        handles[0].status().await.unwrap().unwrap().state,
        JobState::Completed
    );
}

async fn a_drain_hands_back_what_stops_at_its_token_and_charges_nothing(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |_, job: JobContext| async move {
        assert_eq!(job.cancelled().await, CancelReason::Shutdown);
        Err::<u64, _>("stopped")
    };
    let policy = Policy::new().attempts(1);
    let workers = jobs
        .workers()
        .handle(ECHO, policy.clone(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    until(&job, JobState::Running).await;
    let limits = Drain {
        wait: Duration::ZERO,
        cancel: Duration::from_secs(20),
    };
    let report = workers.drain(limits).await;
    assert_eq!(report.handed_back, ["echo"]);
    let info = job.status().await.unwrap().unwrap();
    assert_eq!(
        (info.state, info.attempt),
        (JobState::Ready, 0),
        "at once free, and no attempt"
    );
    let echo = |number, _| async move { Ok::<u64, String>(number) };
    let next = kit
        .jobs()
        .await
        .workers()
        .handle(ECHO, policy, echo)
        .start()
        .await
        .unwrap();
    assert_eq!(job.wait().await.unwrap(), 1);
    end(&next).await;
}

async fn a_value_at_a_shutdown_is_the_output(kit: Kit) {
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
    begun(&workers, 1).await;
    let limits = Drain {
        wait: Duration::ZERO,
        cancel: Duration::from_secs(20),
    };
    assert_eq!(workers.drain(limits).await.completed, ["echo"]);
    assert_eq!(job.wait().await.unwrap(), 1);
}

async fn a_drain_drops_what_ignores_its_token_and_hands_it_back(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |_, _| std::future::pending::<Result<u64, String>>();
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    until(&job, JobState::Running).await;
    let report = workers.drain(NOW).await;
    assert_eq!(report.handed_back, ["echo"], "{report:?}");
    let info = job.status().await.unwrap().unwrap();
    assert_eq!((info.state, info.attempt), (JobState::Ready, 0));
}

async fn nothing_is_claimed_after_a_drain_began(kit: Kit) {
    let jobs = kit.jobs().await;
    let echo = |number, _| async move { Ok::<u64, String>(number) };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), echo)
        .start()
        .await
        .unwrap();
    end(&workers).await;
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    sleep(millis(300)).await;
    assert_eq!(job.status().await.unwrap().unwrap().state, JobState::Ready);
}

async fn a_drain_takes_jobs_side_by_side_with_a_registry(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |_, job: JobContext| async move {
        job.cancelled().await;
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
    let parts: [Box<dyn Drainable>; 2] = [
        Box::new(nexios::Background::new()),
        Box::new(workers.clone()),
    ];
    let limits = Drain {
        wait: Duration::ZERO,
        cancel: Duration::from_secs(20),
    };
    for part in parts {
        let report = part.drain(limits).await;
        let names: &[&str] = if part.registry().is_none() {
            &["echo"]
        } else {
            &[]
        };
        assert_eq!(report.handed_back, names);
        assert!(report.abandoned.is_empty(), "handed back is not abandoned");
    }
}

async fn two_drains_hold_the_shorter_limits_and_report_the_same(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |_, job: JobContext| async move {
        job.cancelled().await;
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
    let hour = Duration::from_secs(3600);
    let endless = Drain {
        wait: hour,
        cancel: hour,
    };
    let short = Drain {
        wait: millis(50),
        cancel: hour,
    };
    let (one, other) = tokio::join!(workers.drain(endless), workers.drain(short));
    assert_eq!(one.handed_back, ["echo"]);
    assert_eq!(other.handed_back, ["echo"]);
    assert_eq!(
        workers.drain(NOW).await.handed_back,
        ["echo"],
        "and one that comes later"
    );
}

async fn a_kind_has_a_wait_of_its_own_at_a_drain_and_the_others_go_on(kit: Kit) {
    let jobs = kit.jobs().await;
    let echo = |number, job: JobContext| async move {
        sleep(millis(1500)).await;
        match job.token().reason() {
            None => Ok::<u64, String>(number),
            Some(reason) => Err(format!("{reason:?}")),
        }
    };
    let at_once = Policy::new().drain_wait(Duration::ZERO).attempts(1);
    let workers = jobs
        .workers()
        .handle(EXPORT, at_once, stops_at_its_token)
        .handle(ECHO, Policy::new(), echo)
        .start()
        .await
        .unwrap();
    let long = jobs.enqueue(EXPORT, &1).await.unwrap();
    until(&long, JobState::Running).await;
    let short = jobs.enqueue(ECHO, &2).await.unwrap();
    begun(&workers, 2).await;
    let draining = tokio::spawn({
        let workers = workers.clone();
        async move { workers.drain(PATIENT).await }
    });
    let info = until(&long, JobState::Ready).await;
    assert_eq!(info.attempt, 0, "no attempt is charged");
    assert!(!draining.is_finished(), "the other one is waited for");
    let report = draining.await.unwrap();
    assert_eq!(report.handed_back, ["export"]);
    assert_eq!(report.completed, ["echo"], "{report:?}");
    assert_eq!(short.wait().await.unwrap(), 2);
}

async fn the_wait_of_the_drain_is_the_longest_of_any_kind(kit: Kit) {
    let jobs = kit.jobs().await;
    let hour = Policy::new().drain_wait(Duration::from_secs(3600));
    let workers = jobs
        .workers()
        .handle(EXPORT, hour, stops_at_its_token)
        .start()
        .await
        .unwrap();
    jobs.enqueue(EXPORT, &1).await.unwrap();
    begun(&workers, 1).await;
    let began = Instant::now();
    let limits = Drain {
        wait: millis(100),
        ..PATIENT
    };
    assert_eq!(workers.drain(limits).await.handed_back, ["export"]);
    assert!(began.elapsed() < PATIENT.cancel, "{:?}", began.elapsed());
}

async fn what_ignores_its_early_token_goes_on_until_the_end_of_the_drain(kit: Kit) {
    let jobs = kit.jobs().await;
    let deaf = |_, _| std::future::pending::<Result<u64, String>>();
    let at_once = Policy::new().drain_wait(Duration::ZERO).grace(millis(1));
    let workers = jobs
        .workers()
        .handle(EXPORT, at_once, deaf)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(EXPORT, &1).await.unwrap();
    until(&job, JobState::Running).await;
    let began = Instant::now();
    let limits = Drain {
        wait: millis(300),
        cancel: millis(300),
    };
    assert_eq!(workers.drain(limits).await.handed_back, ["export"]);
    assert!(began.elapsed() >= millis(600), "{:?}", began.elapsed());
    assert_eq!(job.status().await.unwrap().unwrap().state, JobState::Ready);
}

async fn what_begins_as_the_drain_does_is_told_in_its_time_too(kit: Kit) {
    let jobs = kit.jobs().await;
    let at_once = Policy::new().drain_wait(Duration::ZERO);
    for round in 0..20 {
        let workers = jobs
            .workers()
            .handle(EXPORT, at_once.clone(), stops_at_its_token)
            .start()
            .await
            .unwrap();
        let handles = jobs.enqueue_many(EXPORT, &[round; 4]).await.unwrap();
        // Some are claimed by now, some are just being begun, some are not.
        sleep(Duration::from_micros(200 * round)).await;
        let began = Instant::now();
        let report = workers.drain(PATIENT).await;
        assert!(began.elapsed() < PATIENT.wait, "{:?}", began.elapsed());
        assert!(report.abandoned.is_empty(), "{report:?}");
        for job in handles {
            let info = job.status().await.unwrap().unwrap();
            assert_eq!((info.state, info.attempt), (JobState::Ready, 0));
            jobs.delete(job.id()).await.unwrap();
        }
    }
}

async fn what_a_drain_hands_back_keeps_its_place_before_all_that_became_due_meanwhile(kit: Kit) {
    let jobs = kit.jobs().await;
    let one_at_a_time = Policy::new().concurrency(1);
    let workers = jobs
        .workers()
        .handle(EXPORT, one_at_a_time.clone(), stops_at_its_token)
        .start()
        .await
        .unwrap();
    let cut_off = jobs.enqueue(EXPORT, &1).await.unwrap();
    let before = until(&cut_off, JobState::Running).await;
    sleep(millis(5)).await;
    let second = jobs.enqueue(EXPORT, &2).await.unwrap();
    sleep(millis(5)).await;
    let third = jobs.enqueue(EXPORT, &3).await.unwrap();
    let urgent = jobs.task(EXPORT).priority(-1).enqueue(&0).await.unwrap();
    sleep(millis(5)).await;
    assert_eq!(workers.drain(NOW).await.handed_back, ["export"]);
    let after = cut_off.status().await.unwrap().unwrap();
    assert_eq!(after.run_at, before.run_at);

    let begun = Arc::new(Mutex::new(Vec::new()));
    let seen = begun.clone();
    let handler = move |number, _| {
        seen.lock().unwrap().push(number);
        async move { Ok::<u64, String>(number) }
    };
    let jobs = kit.jobs().await;
    let workers = jobs
        .workers()
        .handle(EXPORT, one_at_a_time, handler)
        .start()
        .await
        .unwrap();
    for job in [cut_off, second, third, urgent] {
        job.wait().await.unwrap();
    }
    assert_eq!(*begun.lock().unwrap(), [0, 1, 2, 3]);
    end(&workers).await;
}
