//! Attempts of tasks and jobs, and runs of schedules, in numbers.

use std::time::Duration;

use nexios::{
    Background, Retry,
    observe::{self, Update},
};
use nexios_console::Metrics;

use crate::metrics::told;

#[tokio::test(start_paused = true)]
async fn a_run_of_a_schedule_and_an_attempt_are_counted_by_how_they_ended() {
    let metrics = Metrics::new();
    let background = Background::new();
    let second = Duration::from_secs(1);
    let schedule = background
        .every("refresh", second, |task| async move {
            assert!(task.attempt() != 2, "the second run panics");
        })
        .unwrap();
    let mail = background
        .task("mail")
        .retry(Retry::exponential(second / 4, second))
        .spawn_fallible(|task| async move { task.attempt().checked_sub(2).ok_or("busy") })
        .unwrap();
    assert!(mail.await.unwrap().is_ok());
    let live = background.watch(schedule.id()).unwrap();
    while live.info().attempt < 4 {
        tokio::time::sleep(second / 10).await;
    }
    // Each as it ends, and not as the next one begins.
    let expected = [
        ("refresh", "success", 3),
        ("refresh", "failure", 1),
        ("mail", "failure", 1),
        ("mail", "success", 1),
    ];
    assert_attempts(&told(&metrics).await, &expected);
    // Between two runs there is nothing to cancel.
    schedule.cancel();
    assert!(schedule.await.is_err());
    assert_attempts(&told(&metrics).await, &expected);
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_and_one_that_is_cut_off_are_counted_as_what_they_were() {
    let metrics = Metrics::new();
    let background = Background::new();
    let second = Duration::from_secs(1);
    let schedule = background
        .every_fallible("reload", second, |task| async move {
            match task.attempt() {
                1 => Err("the source is away"),
                2 => Ok(()),
                _ => {
                    task.cancelled().await;
                    Err("told to end")
                }
            }
        })
        .unwrap();
    let failed_at_once = background
        .spawn_fallible("give up", |_| async { Err::<(), _>("no") })
        .unwrap();
    assert!(failed_at_once.await.unwrap().is_err());
    let live = background.watch(schedule.id()).unwrap();
    while live.info().attempt < 3 {
        tokio::time::sleep(second / 10).await;
    }
    schedule.cancel();
    assert!(schedule.await.is_err());
    let expected = [
        ("reload", "failure", 1),
        ("reload", "success", 1),
        ("reload", "cancellation", 1),
        ("give up", "failure", 1),
    ];
    assert_attempts(&told(&metrics).await, &expected);
}

#[cfg(feature = "jobs")]
#[tokio::test(start_paused = true)]
async fn an_attempt_of_a_job_is_counted_once_whatever_its_number_is() {
    use nexios_jobs::{JobContext, Jobs, Kind, Policy};
    const COUNTED: Kind<u32> = Kind::new("counted job");
    let metrics = Metrics::new();
    let jobs = Jobs::memory();
    let handler = |good: u32, job: JobContext| async move {
        let is_good = job.attempt() == good;
        is_good.then_some(()).ok_or("busy")
    };
    let policy = Policy::new()
        .attempts(3)
        .backoff(Duration::from_millis(1), Duration::from_millis(1));
    let workers = jobs.workers().handle(COUNTED, policy, handler);
    let workers = workers.start().await.unwrap();
    let third_time = jobs.enqueue(COUNTED, &3).await.unwrap();
    assert!(third_time.wait().await.is_ok());
    let never = jobs.enqueue(COUNTED, &9).await.unwrap();
    assert!(never.wait().await.is_err());
    let expected = [("counted job", "failure", 5), ("counted job", "success", 1)];
    assert_attempts(&told(&metrics).await, &expected);
    let now = nexios::Drain {
        wait: Duration::ZERO,
        cancel: Duration::ZERO,
    };
    workers.drain(now).await;
}

/// These attempts of these names were counted, and no others of them.
fn assert_attempts(text: &str, expected: &[(&str, &str, u32)]) {
    let line = |(name, outcome, count): &(&str, &str, u32)| {
        format!(
            "nexios_background_attempts_total{{nexios_background_name=\"{name}\",nexios_outcome=\"{outcome}\"}} {count}"
        )
    };
    let mut wanted: Vec<_> = expected.iter().map(line).collect();
    let is_named = |told: &&str| {
        let of = |(name, ..): &(&str, &str, u32)| {
            told.starts_with(&format!(
                "nexios_background_attempts_total{{nexios_background_name=\"{name}\""
            ))
        };
        expected.iter().any(of)
    };
    let mut told: Vec<_> = text.lines().filter(is_named).collect();
    wanted.sort();
    told.sort_unstable();
    assert_eq!(told, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_failure_without_a_text_and_a_schedule_that_never_ran_are_counted_as_what_they_are() {
    let metrics = Metrics::new();
    let background = Background::new();
    let second = Duration::from_secs(1);
    let silent = background
        .every_fallible("silent", second, |_| async { Err::<(), _>("") })
        .unwrap();
    let idle = background.every("idle", second * 60, |_| async {}).unwrap();
    tokio::time::sleep(second * 5 / 2).await;
    silent.cancel();
    idle.cancel();
    assert!(silent.await.is_err() && idle.await.is_err());
    let text = told(&metrics).await;
    assert_attempts(&text, &[("silent", "failure", 2)]);
    assert!(
        !text.contains("attempts_total{nexios_background_name=\"idle\""),
        "{text}"
    );
}

#[tokio::test]
async fn only_background_work_has_attempts() {
    let metrics = Metrics::new();
    let part = observe::custom("a part of its own");
    let (name, value) = ("last_error", "the source is away");
    part.update(&Update::Attribute { name, value });
    part.update(&Update::Attempt(2));
    part.update(&Update::Attempt(3));
    drop(part);
    let text = told(&metrics).await;
    assert!(
        !text.contains("nexios_background_name=\"a part of its own\""),
        "{text}"
    );
}
