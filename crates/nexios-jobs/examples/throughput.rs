//! Measures a store: `cargo run --release --example throughput -- sqlite:/tmp/jobs/jobs.db [jobs]`.
#![allow(clippy::print_stdout, reason = "it is what it is for")]

use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use nexios::Drain;
use nexios_jobs::{Jobs, Kind, Policy};

const NOTHING: Kind<u64> = Kind::new("nothing");
const STAMP: Kind<(), u64> = Kind::new("stamp");

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let url = args.next().context("the URL of a store")?;
    let count: u64 = args.next().map_or(Ok(5000), |count| count.parse())?;
    measure(&url, count).await
}

pub(crate) async fn measure(url: &str, count: u64) -> anyhow::Result<()> {
    let jobs = Jobs::open(url).await?;

    let one_by_one = count.min(2000);
    let began = Instant::now();
    for number in 0..one_by_one {
        jobs.enqueue(NOTHING, &number).await?;
    }
    rate("enqueued one by one", one_by_one, began);

    let numbers: Vec<u64> = (0..count).collect();
    let began = Instant::now();
    jobs.enqueue_many(NOTHING, &numbers).await?;
    rate("enqueued together", count, began);

    let nothing = |_, _| async { Ok::<_, String>(()) };
    let stamp = |(), _| async {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map(|now| now.as_micros() as u64)
    };
    let began = Instant::now();
    let workers = jobs
        .workers()
        .handle(NOTHING, Policy::new().concurrency(8), nothing)
        .handle(STAMP, Policy::new(), stamp)
        .start()
        .await?;
    while workers.stats().completed < count + one_by_one {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rate("run, 8 at once", count + one_by_one, began);

    let elsewhere = Jobs::open(url).await?;
    for (name, store) in [("same process", &jobs), ("other store", &elsewhere)] {
        let mut waits = Vec::new();
        for _ in 0..count.clamp(1, 100) {
            let enqueued = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)?
                .as_micros() as u64;
            let started = store.enqueue(STAMP, &()).await?.wait().await?;
            waits.push(started.saturating_sub(enqueued));
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
        waits.sort_unstable();
        println!(
            "enqueue to start, {name}: median {} µs, p99 {} µs",
            waits[waits.len() / 2],
            waits[waits.len() * 98 / 100]
        );
    }
    workers
        .drain(Drain {
            wait: Duration::ZERO,
            cancel: Duration::ZERO,
        })
        .await;
    Ok(())
}

fn rate(what: &str, count: u64, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{what}: {:.0}/s ({count} in {seconds:.2} s)",
        count as f64 / seconds
    );
}
