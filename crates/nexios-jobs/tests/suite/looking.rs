//! Lists, pages, deletions.

use nexios_jobs::{Filter, JobId, JobState, Kind, Policy};

use crate::{
    kit::{ECHO, Kit, end, millis},
    on_every_engine,
};

on_every_engine!(
    a_list_is_newest_first_and_page_by_page,
    pages_are_whole_while_jobs_come_run_and_go,
    a_filter_looks_for_kind_state_and_key,
    an_ended_job_is_pruned_after_its_time_to_keep,
    a_running_job_is_not_deleted,
    an_unknown_job_is_not_there,
    waiting_scheduled_and_retrying_jobs_are_told_apart,
);

async fn a_list_is_newest_first_and_page_by_page(kit: Kit) {
    let jobs = kit.jobs().await;
    let numbers: Vec<u64> = (0..250).collect();
    let handles = jobs.enqueue_many(ECHO, &numbers).await.unwrap();
    let (mut seen, mut before) = (Vec::<JobId>::new(), None);
    loop {
        let filter = before
            .iter()
            .fold(Filter::new(), |filter, id| filter.before(*id));
        let page = jobs.list(filter).await.unwrap();
        assert!(page.jobs.len() <= 100);
        seen.extend(page.jobs.iter().map(|job| job.id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let mut all: Vec<_> = handles.iter().map(|job| job.id()).collect();
    all.reverse();
    assert_eq!(seen, all);
    let exact = jobs.list(Filter::new().limit(250)).await.unwrap();
    assert!(exact.next.is_none(), "the last page says so");
}

async fn pages_are_whole_while_jobs_come_run_and_go(kit: Kit) {
    const CHURN: Kind<u64, u64> = Kind::new("churn");
    let jobs = kit.jobs().await;
    let echo = |number: u64, _| async move { Ok::<u64, String>(number) };
    let policy = Policy::new().concurrency(4);
    let workers = jobs
        .workers()
        .handle(ECHO, policy.clone(), echo)
        .handle(CHURN, policy.keep(millis(1)), echo)
        .start()
        .await
        .unwrap();
    // A third of them has ended, and stays.
    let numbers: Vec<u64> = (0..100).collect();
    let mut standing = jobs.enqueue_many(ECHO, &numbers).await.unwrap();
    for number in 0..200 {
        let later = jobs.task(ECHO).delay(millis(600_000));
        standing.push(later.enqueue(&number).await.unwrap());
    }
    let mut standing: Vec<_> = standing.iter().map(|job| job.id()).collect();
    standing.reverse();
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let churning = tokio::spawn({
        let jobs = jobs.clone();
        async move {
            let (mut added, mut pruned) = (0, 0);
            while !*stopped.borrow_and_update() {
                added += jobs.enqueue_many(CHURN, &[1; 20]).await.unwrap().len() as u64;
                pruned += jobs.prune().await.unwrap();
                tokio::time::sleep(millis(2)).await;
            }
            (added, pruned)
        }
    });
    for round in 0..8 {
        let (mut seen, mut before) = (Vec::<JobId>::new(), None);
        loop {
            let filter = Filter::new().limit(37);
            let filter = before.iter().fold(filter, |filter, id| filter.before(*id));
            let page = jobs.list(filter).await.unwrap();
            assert!(page.jobs.len() <= 37);
            seen.extend(page.jobs.iter().map(|job| job.id));
            before = page.next;
            tokio::time::sleep(millis(3)).await;
            if before.is_none() {
                break;
            }
        }
        assert!(
            seen.is_sorted_by(|one, next| one > next),
            "round {round}: newest first, none twice"
        );
        let kept: Vec<_> = seen
            .into_iter()
            .filter(|id| standing.contains(id))
            .collect();
        assert_eq!(kept, standing, "round {round}: none is missed");
    }
    stop.send_replace(true);
    let (added, pruned) = churning.await.unwrap();
    assert!(added >= 40 && pruned > 0, "{added} came, {pruned} went");
    workers
        .drain(nexios::Drain {
            wait: millis(20_000),
            cancel: millis(1000),
        })
        .await;
}

async fn a_filter_looks_for_kind_state_and_key(kit: Kit) {
    const OTHER: Kind<u64> = Kind::new("other");
    let jobs = kit.jobs().await;
    let one = jobs.task(ECHO).unique("k").enqueue(&1).await.unwrap();
    let two = jobs
        .task(ECHO)
        .delay(millis(60_000))
        .enqueue(&2)
        .await
        .unwrap();
    let three = jobs.task(OTHER).unique("k").enqueue(&3).await.unwrap();
    two.cancel().await.unwrap();
    let found = async |filter| -> Vec<JobId> {
        let page = jobs.list(filter).await.unwrap();
        page.jobs.iter().map(|job| job.id).collect()
    };
    assert_eq!(found(Filter::new().kind(ECHO)).await, [two.id(), one.id()]);
    assert_eq!(found(Filter::new().kind("other")).await, [three.id()]);
    assert_eq!(found(Filter::new().key("k")).await, [three.id(), one.id()]);
    assert_eq!(
        found(Filter::new().state(JobState::Cancelled)).await,
        [two.id()]
    );
    let either = Filter::new()
        .state(JobState::Cancelled)
        .state(JobState::Ready)
        .kind(ECHO);
    assert_eq!(found(either).await, [two.id(), one.id()]);
    assert!(found(Filter::new().state(JobState::Dead)).await.is_empty());
}

async fn an_ended_job_is_pruned_after_its_time_to_keep(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |number, _| async move { Ok::<u64, String>(number) };
    let policy = Policy::new().keep(millis(1500));
    let workers = jobs
        .workers()
        .handle(ECHO, policy, handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    job.wait().await.unwrap();
    assert_eq!(jobs.prune().await.unwrap(), 0, "it is kept");
    let kept = jobs
        .task(ECHO)
        .delay(millis(60_000))
        .enqueue(&2)
        .await
        .unwrap();
    tokio::time::sleep(millis(1600)).await;
    assert_eq!(jobs.prune().await.unwrap(), 1);
    assert!(job.status().await.unwrap().is_none());
    assert!(kept.status().await.unwrap().is_some(), "it has not ended");
    assert_eq!(jobs.prune().await.unwrap(), 0);
    end(&workers).await;
}

async fn a_running_job_is_not_deleted(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |_, job: nexios_jobs::JobContext| async move {
        job.cancelled().await;
        Err::<u64, _>("cancelled")
    };
    let workers = jobs
        .workers()
        .handle(ECHO, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(ECHO, &1).await.unwrap();
    crate::kit::until(&job, JobState::Running).await;
    assert!(!jobs.delete(job.id()).await.unwrap());
    job.cancel().await.unwrap();
    let _ = job.wait().await;
    assert!(jobs.delete(job.id()).await.unwrap());
    assert!(!jobs.delete(job.id()).await.unwrap());
    end(&workers).await;
}

async fn an_unknown_job_is_not_there(kit: Kit) {
    let jobs = kit.jobs().await;
    let id = "4711".parse().unwrap();
    assert!(jobs.get(id).await.unwrap().is_none());
    assert!(!jobs.cancel(id).await.unwrap());
    assert!(!jobs.retry(id).await.unwrap());
    assert!(!jobs.delete(id).await.unwrap());
    assert!(matches!(
        jobs.job(ECHO, id).wait().await,
        Err(nexios_jobs::JobFailure::Gone)
    ));
}

async fn waiting_scheduled_and_retrying_jobs_are_told_apart(kit: Kit) {
    let jobs = kit.jobs().await;
    let handler = |_, _| async { Err::<u64, _>("no") };
    let policy = Policy::new().backoff(millis(60_000), millis(60_000));
    let retrying = jobs.enqueue(ECHO, &1).await.unwrap();
    let workers = jobs
        .workers()
        .handle(ECHO, policy, handler)
        .start()
        .await
        .unwrap();
    crate::kit::until(&retrying, JobState::Retrying).await;
    end(&workers).await;
    let ready = jobs.enqueue(ECHO, &2).await.unwrap();
    let scheduled = jobs
        .task(ECHO)
        .delay(millis(60_000))
        .enqueue(&3)
        .await
        .unwrap();
    for (job, state) in [
        (retrying, JobState::Retrying),
        (ready, JobState::Ready),
        (scheduled, JobState::Scheduled),
    ] {
        let page = jobs.list(Filter::new().state(state)).await.unwrap();
        let found: Vec<_> = page.jobs.iter().map(|job| (job.id, job.state)).collect();
        assert_eq!(found, [(job.id(), state)]);
    }
}
