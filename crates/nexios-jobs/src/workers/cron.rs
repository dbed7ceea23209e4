//! Enqueues a job at each time of a schedule, once however many processes have it.
//!
//! Each process looks at the clock and offers all the times that have passed since its last look; the store takes each of
//! them once.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use crate::{
    clock::to_millis,
    engine::{Engine, NewJob, Tick},
    error::JobsError,
    log::log,
};

use super::{
    schedule::{CORRECTION, Schedule},
    shared::Shared,
};

/// How often to look at the clock.
const LOOK: Duration = Duration::from_millis(100);

/// How long to leave the store alone that has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// The clock that schedules are looked up by.
pub(super) enum CronClock {
    Database,
    Own(Box<dyn Fn() -> SystemTime + Send + Sync>),
}

/// A schedule and the job for its times.
pub(super) struct CronJob {
    pub(super) schedule: Schedule,
    /// Its text, kind and arguments, in short.
    pub(super) key: String,
    pub(super) job: NewJob,
    /// No time up to this one is offered any more.
    pub(super) past: i64,
}

/// Tells a schedule from others: its text, its kind and its arguments, which may be long.
pub(super) fn key(text: &str, job: &NewJob) -> String {
    // FNV-1a: the same in all processes, and in all versions.
    let hash = job
        .args
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{text}\n{}\n{hash:016x}", job.kind)
}

/// Offers the times of the schedules until all is over.
pub(super) async fn tick(shared: Arc<Shared>, mut crons: Vec<CronJob>, clock: CronClock) {
    let mut pause = LOOK;
    loop {
        tokio::select! {
            () = shared.wait_until_over() => return,
            () = sleep(pause) => {}
        }
        if shared.drains.has_begun() {
            return;
        }
        pause = LOOK;
        for cron in &mut crons {
            if let Err(error) = offer(&*shared.engine, cron, &clock).await {
                log(|| tracing::warn!(%error, "a time of a schedule could not be enqueued yet"));
                pause = PAUSE;
            }
        }
    }
}

async fn offer(
    engine: &dyn Engine,
    cron: &mut CronJob,
    clock: &CronClock,
) -> Result<(), JobsError> {
    let now = clock.now(engine).await?;
    if cron.past - now > CORRECTION {
        cron.past = now;
    }
    // Whoever was stopped for so long was not there for those times.
    cron.past = cron.past.max(now.saturating_sub(CORRECTION));
    while let Some(time) = cron.schedule.after(cron.past)
        && time <= now
    {
        let tick = Tick {
            schedule: cron.key.clone(),
            time,
            memory: Duration::from_millis(CORRECTION.unsigned_abs()),
        };
        engine.tick(tick, cron.job.clone()).await?;
        cron.past = time;
    }
    cron.past = cron.past.max(now);
    Ok(())
}

impl CronClock {
    /// What it shows, in milliseconds since 1970.
    pub(super) fn now<'a>(
        &'a self,
        engine: &'a dyn Engine,
    ) -> BoxFuture<'a, Result<i64, JobsError>> {
        Box::pin(async move {
            match self {
                Self::Own(now) => Ok(to_millis(now())),
                Self::Database => engine.now().await.map(to_millis),
            }
        })
    }
}
