//! The same question once more when the answer takes longer than it usually does, and at most 10 % more questions for it.

#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use nexios::{Delay, Hedge, RaceError};
use tokio::time::{Instant, sleep};

/// Every twentieth answer takes half a second.
async fn replica(calls: &AtomicU64) -> Result<u64, std::io::Error> {
    let call = calls.fetch_add(1, Ordering::Relaxed);
    let slow = call % 20 == 19;
    sleep(Duration::from_millis(if slow { 500 } else { 2 })).await;
    Ok(call)
}

#[tokio::main]
async fn main() -> Result<(), RaceError<std::io::Error>> {
    let calls = AtomicU64::new(0);
    let hedge = Hedge::builder()
        .name("replica")
        .delay(Delay::Fixed(Duration::from_millis(20)))
        .budget(0.1)
        .build();
    let mut slowest = Duration::ZERO;
    for _ in 0..60 {
        let started = Instant::now();
        hedge.run(|_attempt| replica(&calls)).await?;
        slowest = slowest.max(started.elapsed());
    }
    let stats = hedge.stats();
    println!(
        "slowest answer {slowest:?}, {} of {} hedged",
        stats.hedges_started, stats.calls
    );
    assert!(
        slowest < Duration::from_millis(400),
        "one of two answers was quick"
    );
    Ok(())
}
