//! What is enqueued runs, by the policy of its kind.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use nexios::{CancelReason, CancelScope};
use nexios_jobs::{JobContext, JobFailure, JobState, Jobs, JobsError, Kind, Policy};
use tokio::{sync::Barrier, time::sleep};

use crate::{
    kit::{ECHO, Kit, counted, end, millis, until},
    on_every_engine,
};

on_every_engine!(
    a_job_gives_its_output_to_whoever_waits,
    a_kind_runs_so_many_at_once_as_its_policy_says,
    the_smallest_priority_runs_first_then_the_earliest,
    a_job_starts_not_before_its_time,
    arguments_of_another_version_are_dead_at_once,
    an_output_that_cannot_be_written_is_dead,
    a_payload_that_is_too_large_is_refused,
    a_kind_without_a_handler_is_left_alone,
    a_paused_kind_does_not_start_until_it_is_resumed,
    an_attempt_that_is_too_slow_is_stopped_and_counts,
    a_handler_that_ignores_its_token_is_dropped_after_the_grace,
    many_are_enqueued_in_one_step_and_in_order,
    a_handle_from_elsewhere_waits_as_well,
    twenty_thousand_waiting_jobs_are_all_run_once,
);

async fn echo(number: u64, _: JobContext) -> Result<u64, String> {
    Ok(number)
}

async fn a_job_gives_its_output_to_whoever_waits(kit: Kit) {
    let jobs = kit.jobs().await;
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), echo)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &7).await.unwrap();
    assert!(job.was_new());
    assert_eq!(job.wait().await.unwrap(), 7);
    assert_eq!(job.wait().await.unwrap(), 7, "as often as you like");
    let info = job.status().await.unwrap().unwrap();
    assert_eq!(
        (info.state, info.attempt, info.kind.as_str()),
        (JobState::Completed, 1, "echo")
    );
    assert_eq!(info.result, Some(serde_json::json!(7)));
    assert_eq!(info.attempts.len(), 1);
    assert_eq!(info.attempts[0].pid, std::process::id());
    assert!(info.attempts[0].ended.is_some() && info.ended.is_some());
    let other: Kind<u64, u64> = Kind::new("another");
    assert!(matches!(
        jobs.job(other, job.id()).wait().await,
        Err(JobFailure::Gone)
    ));
    counted(&workers, 1, 0).await;
    assert!(workers.is_ready());
    end(&workers).await;
}

async fn a_kind_runs_so_many_at_once_as_its_policy_says(kit: Kit) {
    let jobs = kit.jobs().await;
    let barrier = Arc::new(Barrier::new(3));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (barrier, now, most) = (barrier.clone(), now.clone(), most.clone());
        move |number: u64, _| {
            let (barrier, now, most) = (barrier.clone(), now.clone(), most.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                barrier.wait().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, String>(number)
            }
        }
    };
    let handles = jobs.enqueue_many(ECHO, &[1, 2, 3, 4, 5, 6]).await.unwrap();
    let policy = Policy::new().concurrency(3);
    let workers = jobs
        .workers()
        .handle(ECHO, policy, handler)
        .start()
        .await
        .unwrap();
    for job in handles {
        job.wait().await.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
    end(&workers).await;
}

async fn the_smallest_priority_runs_first_then_the_earliest(kit: Kit) {
    let jobs = kit.jobs().await;
    let past = SystemTime::now() - Duration::from_secs(60);
    let mut handles = Vec::new();
    for (number, priority, back) in [(4, 5, 3), (2, -1, 0), (3, 0, 9), (1, -1, 1), (5, 5, 1)] {
        let task = jobs
            .task(ECHO)
            .priority(priority)
            .run_at(past - Duration::from_secs(back));
        handles.push(task.enqueue(&number).await.unwrap());
    }
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = order.clone();
    let handler = move |number, _| {
        seen.lock().unwrap().push(number);
        async move { Ok::<_, String>(number) }
    };
    let policy = Policy::new().concurrency(1);
    let workers = jobs
        .workers()
        .handle(ECHO, policy, handler)
        .start()
        .await
        .unwrap();
    for job in handles {
        job.wait().await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [1, 2, 3, 4, 5]);
    end(&workers).await;
}

async fn a_job_starts_not_before_its_time(kit: Kit) {
    let jobs = kit.jobs().await;
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), echo)
        .start()
        .await
        .unwrap();
    let job = jobs
        .task(ECHO)
        .delay(millis(700))
        .enqueue(&1)
        .await
        .unwrap();
    let info = job.status().await.unwrap().unwrap();
    assert_eq!(info.state, JobState::Scheduled);
    job.wait().await.unwrap();
    let info = job.status().await.unwrap().unwrap();
    let waited = info.attempts[0]
        .started
        .duration_since(info.created)
        .unwrap();
    assert!(waited >= millis(700), "{waited:?}");
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    // A waiting one is run now by `retry`.
    let far = jobs
        .task(ECHO)
        .delay(Duration::from_secs(86_400))
        .enqueue(&2)
        .await
        .unwrap();
    assert!(jobs.retry(far.id()).await.unwrap());
    assert_eq!(far.wait().await.unwrap(), 2);
    end(&workers).await;
}

async fn arguments_of_another_version_are_dead_at_once(kit: Kit) {
    let jobs = kit.jobs().await;
    let older: Kind<String, u64> = Kind::new("echo");
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), echo)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(older, &"seven".to_owned()).await.unwrap();
    let Err(JobFailure::Dead { error }) = job.wait().await else {
        panic!("it cannot be read");
    };
    assert!(error.contains("arguments cannot be read"), "{error}");
    assert_eq!(
        job.status().await.unwrap().unwrap().attempt,
        1,
        "no crash loop"
    );
    let text: Kind<u64, String> = Kind::new("echo");
    let job = jobs.enqueue(text, &1).await.unwrap();
    assert!(matches!(
        job.wait().await,
        Err(JobFailure::Unreadable { .. })
    ));
    end(&workers).await;
}

async fn an_output_that_cannot_be_written_is_dead(kit: Kit) {
    const LARGE: Kind<usize, String> = Kind::new("large");
    let jobs = kit.jobs().await;
    let handler = |length, _| async move { Ok::<_, String>("x".repeat(length)) };
    let workers = jobs
        .workers()
        .handle(LARGE, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(LARGE, &Jobs::MAX_PAYLOAD).await.unwrap();
    let Err(JobFailure::Dead { error }) = job.wait().await else {
        panic!("it is too large");
    };
    assert!(error.contains("1048578 bytes"), "{error}");
    let job = jobs.enqueue(LARGE, &(Jobs::MAX_PAYLOAD - 2)).await.unwrap();
    assert_eq!(job.wait().await.unwrap().len(), Jobs::MAX_PAYLOAD - 2);
    end(&workers).await;
}

async fn a_payload_that_is_too_large_is_refused(kit: Kit) {
    const TEXT: Kind<String> = Kind::new("text");
    let jobs = kit.jobs().await;
    let large = "x".repeat(Jobs::MAX_PAYLOAD);
    let refused = jobs.enqueue(TEXT, &large).await;
    let Err(JobsError::PayloadTooLarge { bytes, limit }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((bytes, limit), (Jobs::MAX_PAYLOAD + 2, Jobs::MAX_PAYLOAD));
    let refused = jobs.enqueue_many(TEXT, &["short".to_owned(), large]).await;
    assert!(matches!(refused, Err(JobsError::PayloadTooLarge { .. })));
    let page = jobs.list(Default::default()).await.unwrap();
    assert!(page.jobs.is_empty(), "all or none");
}

async fn a_kind_without_a_handler_is_left_alone(kit: Kit) {
    const FOREIGN: Kind<()> = Kind::new("foreign");
    let jobs = kit.jobs().await;
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), echo)
        .start()
        .await
        .unwrap();
    let foreign = jobs.enqueue(FOREIGN, &()).await.unwrap();
    let own = jobs.enqueue(ECHO, &1).await.unwrap();
    own.wait().await.unwrap();
    assert_eq!(
        foreign.status().await.unwrap().unwrap().state,
        JobState::Ready
    );
    end(&workers).await;
}

async fn a_paused_kind_does_not_start_until_it_is_resumed(kit: Kit) {
    let jobs = kit.jobs().await;
    jobs.pause(ECHO).await.unwrap();
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), echo)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    sleep(millis(400)).await;
    assert_eq!(job.status().await.unwrap().unwrap().state, JobState::Ready);
    jobs.resume("echo").await.unwrap();
    assert_eq!(job.wait().await.unwrap(), 1);
    end(&workers).await;
}

async fn an_attempt_that_is_too_slow_is_stopped_and_counts(kit: Kit) {
    let jobs = kit.jobs().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let reasons = seen.clone();
    let handler = move |_, job: JobContext| {
        let reasons = reasons.clone();
        async move {
            assert!(
                CancelScope::current()
                    .and_then(|scope| scope.deadline())
                    .is_some()
            );
            let reason = job.cancelled().await;
            reasons.lock().unwrap().push(reason);
            Err::<u64, _>("stopped in time")
        }
    };
    let policy = Policy::new()
        .timeout(millis(300))
        .attempts(2)
        .backoff(millis(1), millis(1));
    let workers = jobs
        .workers()
        .handle(ECHO, policy, handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    let Err(JobFailure::Dead { error }) = job.wait().await else {
        panic!("its attempts are spent");
    };
    assert_eq!(error, "stopped in time");
    assert_eq!(*seen.lock().unwrap(), [CancelReason::Deadline; 2]);
    counted(&workers, 0, 2).await;
    end(&workers).await;
}

async fn a_handler_that_ignores_its_token_is_dropped_after_the_grace(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |_, _| std::future::pending::<Result<u64, String>>();
    let policy = Policy::new()
        .timeout(millis(200))
        .grace(millis(100))
        .attempts(1);
    let workers = jobs
        .workers()
        .handle(ECHO, policy, handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    let Err(JobFailure::Dead { error }) = job.wait().await else {
        panic!("it did not end");
    };
    assert_eq!(error, "did not end within 200ms");
    end(&workers).await;
}

async fn many_are_enqueued_in_one_step_and_in_order(kit: Kit) {
    let jobs = kit.jobs().await;
    let handles = jobs.enqueue_many(ECHO, &[3, 1, 2]).await.unwrap();
    assert!(handles.is_sorted_by_key(|job| job.id()));
    assert!(handles.iter().all(|job| job.was_new()));
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), echo)
        .start()
        .await
        .unwrap();
    let mut outputs = Vec::new();
    for job in handles {
        outputs.push(job.wait().await.unwrap());
    }
    assert_eq!(outputs, [3, 1, 2]);
    assert!(jobs.enqueue_many(ECHO, &[]).await.unwrap().is_empty());
    end(&workers).await;
}

async fn a_handle_from_elsewhere_waits_as_well(kit: Kit) {
    let (web, worker) = (kit.jobs().await, kit.jobs().await);
    let job = web.enqueue(ECHO, &5).await.unwrap();
    let id = job.id().to_string().parse().unwrap();
    let waiting = tokio::spawn(async move { web.job(ECHO, id).wait().await });
    let workers = worker
        .workers()
        .handle(ECHO, Policy::new(), echo)
        .start()
        .await
        .unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 5);
    end(&workers).await;
}

async fn twenty_thousand_waiting_jobs_are_all_run_once(kit: Kit) {
    const MANY: u64 = 20_000;
    // They are enqueued by one call.
    let patience = nexios_jobs::Jobs::builder().patience(millis(120_000));
    let jobs = kit.open(patience).await;
    let numbers: Vec<u64> = (0..MANY).collect();
    let handles = jobs.enqueue_many(ECHO, &numbers).await.unwrap();
    let runs = Arc::new(Mutex::new(vec![0; numbers.len()]));
    let counted = runs.clone();
    let handler = move |number: u64, _| {
        counted.lock().unwrap()[number as usize] += 1;
        async move { Ok::<_, String>(number) }
    };
    let policy = Policy::new().concurrency(16);
    let workers = jobs
        .workers()
        .handle(ECHO, policy, handler)
        .start()
        .await
        .unwrap();
    let began = tokio::time::Instant::now();
    while workers.stats().completed < MANY {
        assert!(
            began.elapsed() < std::time::Duration::from_secs(240),
            "{:?}",
            workers.stats()
        );
        tokio::time::sleep(millis(20)).await;
    }
    for job in handles.iter().step_by(1000) {
        until(job, JobState::Completed).await;
    }
    let waiting = nexios_jobs::Filter::new().state(JobState::Ready);
    assert!(jobs.list(waiting).await.unwrap().jobs.is_empty());
    assert!(runs.lock().unwrap().iter().all(|runs| *runs == 1));
    assert_eq!(workers.stats().completed, MANY);
    end(&workers).await;
}
