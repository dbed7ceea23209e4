//! What is measured of a store, whatever its engine.

use std::time::{Duration, Instant};

use nexios_jobs::Jobs;

use crate::{
    child::Child,
    rows::{Goal, Rows},
    work::{NOTHING, STAMP, micros, start, stop},
};

pub(crate) fn rate(count: u64, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}

/// Enqueues one by one.
pub(crate) async fn enqueue_singly(jobs: &Jobs, count: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    for number in 0..count {
        jobs.enqueue(NOTHING, &number).await?;
    }
    Ok(rate(count, began))
}

/// Enqueues in one call.
pub(crate) async fn enqueue_together(jobs: &Jobs, count: u64) -> anyhow::Result<f64> {
    let numbers: Vec<u64> = (0..count).collect();
    let began = Instant::now();
    jobs.enqueue_many(NOTHING, &numbers).await?;
    Ok(rate(count, began))
}

/// Runs what waits, eight at once, until this many ends are written.
pub(crate) async fn run_waiting(jobs: &Jobs, count: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let workers = start(jobs).await?;
    while workers.stats().completed < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let rate = rate(count, began);
    stop(&workers).await;
    Ok(rate)
}

/// From enqueue to start of a worker that has nothing to do, here and in another process; and what that process takes then.
pub(crate) async fn measure_idle(
    jobs: &Jobs,
    url: &str,
    engine: &str,
    elsewhere: f64,
    rows: &mut Rows,
) -> anyhow::Result<()> {
    let workers = start(jobs).await?;
    let p99 = latency(jobs).await?;
    let work = format!("{engine}: enqueue to start, same process, p99");
    rows.alone(&work, p99, "ms", Goal::Most(20.0));
    stop(&workers).await;

    let child = Child::start(url)?;
    jobs.enqueue(STAMP, &()).await?.wait().await?;
    let p99 = latency(jobs).await?;
    let work = format!("{engine}: enqueue to start, other process, p99");
    rows.alone(&work, p99, "ms", Goal::Most(elsewhere));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let share = child.processor_share(Duration::from_secs(20)).await?;
    let work = format!("{engine}: idle worker, % of a core");
    rows.alone(&work, share * 100.0, "%", Goal::Most(0.5));
    Ok(())
}

async fn latency(jobs: &Jobs) -> anyhow::Result<f64> {
    let mut waits = Vec::new();
    for _ in 0..200 {
        let enqueued = micros();
        let started = jobs.enqueue(STAMP, &()).await?.wait().await?;
        waits.push(started.saturating_sub(enqueued));
        // So that the looks of a worker that looks from time to time fall everywhere.
        tokio::time::sleep(Duration::from_millis(17)).await;
    }
    waits.sort_unstable();
    Ok(waits[waits.len() * 99 / 100] as f64 / 1000.0)
}

/// What a claim and an enqueue take in a table of many ended jobs, in times of what they take in a small one.
pub(crate) async fn measure_growth(
    small: &Jobs,
    large: &Jobs,
    engine: &str,
    rows: &mut Rows,
) -> anyhow::Result<()> {
    const JOBS: u64 = 2000;
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..crate::ROUNDS {
        for (place, jobs) in [small, large].into_iter().enumerate() {
            times[place].push(1.0 / enqueue_singly(jobs, 500).await?);
            run_waiting(jobs, 500).await?;
            enqueue_together(jobs, JOBS).await?;
            times[place + 2].push(1.0 / run_waiting(jobs, JOBS).await?);
        }
    }
    let [small_enqueue, large_enqueue, small_run, large_run] =
        times.map(|times| crate::rows::median(&times));
    for (what, ratio) in [
        ("enqueue", large_enqueue / small_enqueue),
        ("claim and run", large_run / small_run),
    ] {
        let work = format!("{engine}: {what} with 1,000,000 ended jobs, in times of 1,000");
        rows.alone(&work, ratio, "times", Goal::Most(1.2));
    }
    Ok(())
}
