//! Work for a processor, off the async threads: a pool with a bounded queue says no instead of making everybody late.

#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::{thread::sleep, time::Duration};

use nexios::{Overload, PoolError, ThreadPool, run_in_threadpool};
use tokio::time::timeout;

const WHILE: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> Result<(), PoolError> {
    // One pool for the process, as many threads as there are processors.
    let sum: u64 = run_in_threadpool(|| (0..1_000_000_u64).sum()).await;
    println!("{sum}");

    // One of its own, for what must not use up the threads of the rest.
    let pool = ThreadPool::builder()
        .threads(1)
        .queue(1)
        .overload(Overload::Shed)
        .build();
    let (first, second, third) = tokio::join!(
        pool.run(|| sleep(WHILE)),
        pool.run(|| "waited in the queue"),
        pool.run(|| unreachable!("there is no place for it")),
    );
    println!("{first:?}, {second:?}, {third:?}");
    assert_eq!(third, Err(PoolError::Saturated));

    // A closure that can hear that nobody wants its result any more.
    let endless = pool.run_with(|token| (0_u64..).take_while(|_| !token.is_cancelled()).count());
    assert!(timeout(WHILE, endless).await.is_err());
    let report = pool.drain(Duration::from_secs(5)).await;
    println!("{} threads still busy", report.still_running);
    Ok(())
}
