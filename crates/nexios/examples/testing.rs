//! How to test code that uses all this: on a paused clock an hour takes no time, and limits come exactly when they should.

#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::time::Duration;

use nexios::{Candidate, Interrupted, TaskGroup, run_until_first_complete};
use tokio::time::{Instant, sleep};

async fn slow_report() -> Result<&'static str, Interrupted> {
    sleep(Duration::from_secs(3_600)).await;
    Ok("the report")
}

/// What is to be tested: give up after two seconds.
async fn report() -> Result<&'static str, Interrupted> {
    let group = TaskGroup::builder().timeout(Duration::from_secs(2)).build();
    group.run(async { group.spawn(slow_report()).await }).await
}

/// In a crate of yours: `#[tokio::test(start_paused = true)]`, with tokio's feature `test-util`.
async fn a_slow_report_is_given_up_after_two_seconds() {
    let started = Instant::now();
    assert_eq!(report().await, Err(Interrupted::DeadlineExceeded));
    assert_eq!(started.elapsed(), Duration::from_secs(2));
}

async fn the_second_source_starts_after_half_a_second() {
    let started = Instant::now();
    let first = Candidate::new("first", slow_report());
    let second = Candidate::new("second", async { Ok("quick") }).after(Duration::from_millis(500));
    assert_eq!(
        run_until_first_complete([first, second]).await.ok(),
        Some("quick")
    );
    assert_eq!(started.elapsed(), Duration::from_millis(500));
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let clock = std::time::Instant::now();
    a_slow_report_is_given_up_after_two_seconds().await;
    the_second_source_starts_after_half_a_second().await;
    println!("both passed in {:?}", clock.elapsed());
}
