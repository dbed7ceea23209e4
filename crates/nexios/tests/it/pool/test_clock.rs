//! The `test-util` feature.

use std::time::Duration;

use nexios::Overload;
use tokio::time::{Instant, sleep, timeout};

use super::{Gate, pool, until};

/// Without the feature a paused clock jumps over any limit while a pool's thread works.
#[tokio::test(start_paused = true)]
async fn a_paused_clock_stands_still_while_jobs_are_outstanding() {
    let pool = pool(1, 4, Overload::Wait);
    let begin = Instant::now();
    for _ in 0..20 {
        let slow = pool.run(|| {
            for _ in 0..1_000 {
                std::thread::yield_now();
            }
        });
        let quick = pool.run(|| 1);
        let both = futures_util::future::join(slow, quick);
        assert_eq!(
            timeout(Duration::from_millis(1), both).await,
            Ok((Ok(()), Ok(1)))
        );
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    // With nothing outstanding it moves on by itself.
    sleep(Duration::from_secs(60)).await;
    assert!(begin.elapsed() >= Duration::from_secs(60));
}

/// A job is outstanding until its closure has ended, whoever is left to wait for it.
#[tokio::test(start_paused = true)]
async fn a_job_without_a_caller_holds_the_clock_until_it_ends() {
    let pool = pool(1, 0, Overload::Wait);
    let gate = Gate::default();
    let call = tokio::spawn({
        let (pool, guard) = (pool.clone(), gate.guard());
        async move { pool.run(guard).await }
    });
    until(|| gate.arrived() == 1).await;
    call.abort();
    let begin = Instant::now();
    let opener = std::thread::spawn({
        let runtime = tokio::runtime::Handle::current();
        move || {
            for _ in 0..1_000 {
                std::thread::yield_now();
            }
            let _runtime = runtime.enter();
            let waited = begin.elapsed();
            gate.open();
            waited
        }
    });
    sleep(Duration::from_secs(5)).await;
    assert_eq!(opener.join().unwrap(), Duration::ZERO);
}
