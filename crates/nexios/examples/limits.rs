//! Bounds: how many children run at once, how long all of it may take, and a grace to clean up in.

#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use nexios::{Interrupted, TaskGroup};
use tokio::time::{Instant, sleep};

#[tokio::main]
async fn main() {
    // A thousand rows, eight at a time: the rest does not exist yet, so memory stays flat.
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let group = TaskGroup::builder().limit(8).build::<Interrupted>();
    let lengths = group.map(0..1_000, async |row: u32| {
        most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        sleep(Duration::from_millis(1)).await;
        now.fetch_sub(1, Ordering::Relaxed);
        Ok(row.to_string().len())
    });
    let total: usize = lengths.await.expect("no row fails").iter().sum();
    println!(
        "{total} digits, {} rows at a time",
        most.load(Ordering::Relaxed)
    );
    assert_eq!((total, most.load(Ordering::Relaxed)), (2_890, 8));

    // Out of time: the token fires, and children have the grace to put things in order.
    let started = Instant::now();
    let group = TaskGroup::builder()
        .timeout(Duration::from_millis(50))
        .grace(Duration::from_secs(5))
        .build();
    let token = group.token();
    group.spawn(async move {
        println!("told to stop: {}", token.cancelled().await);
        sleep(Duration::from_millis(10)).await;
        Ok::<_, Interrupted>(())
    });
    assert_eq!(group.join().await, Err(Interrupted::DeadlineExceeded));
    println!("over after {:?}", started.elapsed());
}
