//! The same by key: at most a thousand are kept, each is computed once however many ask for it.

#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use nexios::{AsyncLazyMap, ErrorBackoff, LazyError};

static LOOKUPS: AtomicU32 = AtomicU32::new(0);

async fn profile(user: String) -> Result<String, &'static str> {
    LOOKUPS.fetch_add(1, Ordering::Relaxed);
    match user.as_str() {
        "nobody" => Err("no such user"),
        user => Ok(format!("{user}'s profile")),
    }
}

#[tokio::main]
async fn main() -> Result<(), LazyError<&'static str>> {
    let second = Duration::from_secs(1);
    let profiles = AsyncLazyMap::builder(1_000, profile)
        .ttl(60 * second)
        .jitter(0.1) // not all at once
        .error_backoff(ErrorBackoff::exponential(second, 30 * second))
        .build();

    // A failure is remembered for a second, so that it is not asked for again and again.
    for _ in 0..3 {
        println!("{}", profiles.get("ada").await?);
        println!("{}", profiles.get("nobody").await.expect_err("nobody"));
    }
    assert_eq!(LOOKUPS.load(Ordering::Relaxed), 2);

    profiles.reset("ada");
    profiles.get("ada").await?;
    assert_eq!(LOOKUPS.load(Ordering::Relaxed), 3);
    Ok(())
}
