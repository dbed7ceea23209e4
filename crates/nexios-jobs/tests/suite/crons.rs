//! Schedules.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use nexios_jobs::{Filter, JobsError, Kind, Policy};
use tokio::time::sleep;

use crate::{
    kit::{ECHO, Kit, end, millis},
    on_every_engine,
};

on_every_engine!(
    each_time_of_a_schedule_is_one_job_however_many_have_it,
    a_clock_that_is_set_back_repeats_nothing,
    a_schedule_that_cannot_be_read_is_the_error_of_the_start,
    two_schedules_with_other_arguments_are_two,
);

const CLEAN_UP: Kind<u64> = Kind::new("clean up");

/// A clock that tests set.
#[derive(Clone)]
struct Clock(Arc<Mutex<SystemTime>>);

impl Clock {
    fn new() -> Self {
        // A whole minute.
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 / 60 * 60);
        Self(Arc::new(Mutex::new(start + Duration::from_secs(1))))
    }

    fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }

    fn set_back(&self, by: Duration) {
        *self.0.lock().unwrap() -= by;
    }

    fn reader(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static + use<> {
        let clock = self.0.clone();
        move || *clock.lock().unwrap()
    }
}

async fn jobs_enqueued(kit: &Kit) -> usize {
    let filter = Filter::new().kind(CLEAN_UP).limit(1000);
    kit.jobs().await.list(filter).await.unwrap().jobs.len()
}

async fn each_time_of_a_schedule_is_one_job_however_many_have_it(kit: Kit) {
    let clock = Clock::new();
    let mut all = Vec::new();
    for _ in 0..3 {
        let builder = kit.jobs().await.workers().cron("* * * * *", CLEAN_UP, &1);
        all.push(builder.cron_clock(clock.reader()).start().await.unwrap());
    }
    for _ in 0..10 {
        clock.advance(Duration::from_secs(60));
        sleep(millis(130)).await;
    }
    sleep(millis(1000)).await;
    assert_eq!(jobs_enqueued(&kit).await, 10);
    // Several at once are made up for.
    clock.advance(Duration::from_secs(300));
    sleep(millis(1500)).await;
    assert_eq!(jobs_enqueued(&kit).await, 15);
    for workers in &all {
        end(workers).await;
    }
    // Nobody is there for these.
    clock.advance(Duration::from_secs(300));
    let builder = kit.jobs().await.workers().cron("* * * * *", CLEAN_UP, &1);
    let late = builder.cron_clock(clock.reader()).start().await.unwrap();
    sleep(millis(500)).await;
    assert_eq!(jobs_enqueued(&kit).await, 15);
    end(&late).await;
}

async fn a_clock_that_is_set_back_repeats_nothing(kit: Kit) {
    let clock = Clock::new();
    let builder = kit.jobs().await.workers().cron("* * * * *", CLEAN_UP, &1);
    let workers = builder.cron_clock(clock.reader()).start().await.unwrap();
    clock.advance(Duration::from_secs(120));
    sleep(millis(700)).await;
    clock.set_back(Duration::from_secs(120));
    sleep(millis(300)).await;
    clock.advance(Duration::from_secs(120));
    sleep(millis(700)).await;
    assert_eq!(jobs_enqueued(&kit).await, 2);
    end(&workers).await;
}

async fn a_schedule_that_cannot_be_read_is_the_error_of_the_start(kit: Kit) {
    let builder = kit.jobs().await.workers().cron("0 24 * * *", CLEAN_UP, &1);
    let refused = builder.start().await;
    let Err(JobsError::Schedule { text, reason }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(text, "0 24 * * *");
    assert!(reason.contains("24"), "{reason}");
}

async fn two_schedules_with_other_arguments_are_two(kit: Kit) {
    let clock = Clock::new();
    let echo = |number, _| async move { Ok::<u64, String>(number) };
    let jobs = kit.jobs().await;
    let builder = jobs
        .workers()
        .cron("* * * * *", CLEAN_UP, &1)
        .cron("* * * * *", CLEAN_UP, &2);
    let builder = builder.handle(ECHO, Policy::new(), echo);
    let workers = builder.cron_clock(clock.reader()).start().await.unwrap();
    clock.advance(Duration::from_secs(60));
    sleep(millis(1000)).await;
    assert_eq!(jobs_enqueued(&kit).await, 2);
    end(&workers).await;
}
