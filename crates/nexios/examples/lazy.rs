//! A value that is computed when it is first asked for, once however many ask, and again when it has grown old.

#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::{
    io,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use nexios::{AsyncLazy, LazyError};
use tokio::time::sleep;

static QUERIES: AtomicU32 = AtomicU32::new(0);

async fn daily_statistics() -> Result<String, io::Error> {
    sleep(Duration::from_millis(20)).await;
    Ok(format!(
        "statistics {}",
        QUERIES.fetch_add(1, Ordering::Relaxed) + 1
    ))
}

#[tokio::main]
async fn main() -> Result<(), LazyError<io::Error>> {
    let statistics = AsyncLazy::builder(daily_statistics)
        .name("daily statistics")
        .ttl(Duration::from_secs(3_600))
        .stale_while_revalidate(Duration::from_secs(600)) // nobody waits for a new value while the old one will do
        .timeout(Duration::from_secs(10))
        .build();

    // A hundred ask at once, and one query answers them.
    let answers = futures_util::future::try_join_all((0..100).map(|_| statistics.get())).await?;
    assert!(answers.iter().all(|answer| **answer == "statistics 1"));
    println!("{} for {} callers", answers[0], answers.len());

    statistics.reset();
    println!("after a reset: {}", statistics.get().await?);
    statistics.set(String::from("put in by hand"));
    println!("now: {}", statistics.get().await?);
    assert_eq!(QUERIES.load(Ordering::Relaxed), 2);
    Ok(())
}
