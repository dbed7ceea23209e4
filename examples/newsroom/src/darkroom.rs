//! The threads that make thumbnails, and what a client is told when they have too much to do.

use std::{num::NonZero, thread::available_parallelism, time::Duration};

use nexios::{Overload, PoolError, PoolStats, ThreadPool};
use nexios_axum::Problem;
use serde_json::{Value, json};

use crate::{
    thumbnail::{self, PictureError},
    uploads::{MOST_AT_ONCE, UploadPlace},
};

/// Threads at most: on a large machine the other routes get the rest of the cores.
const MOST_THREADS: usize = 4;
/// How long a picture waits for a thread. Who uploads one does not mind a second, but leaves after a few.
const LIMIT: Duration = Duration::from_secs(1);

/// Few threads, and room for every picture that is in memory: what cannot be begun in time is turned away.
pub(crate) struct Darkroom {
    threads: ThreadPool,
}

impl Darkroom {
    pub(crate) fn new() -> Self {
        let threads = available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
        let builder = ThreadPool::builder().name("thumbnails").threads(threads).queue(MOST_AT_ONCE);
        Darkroom { threads: builder.overload(Overload::ShedAfter(LIMIT)).build() }
    }

    /// Makes the thumbnail of a picture; its place in memory is free when it is done with or dropped.
    pub(crate) async fn develop(&self, picture: Vec<u8>, place: UploadPlace) -> Result<Vec<u8>, Problem> {
        let developed: Result<Result<_, PictureError>, _> = self
            .threads
            .run(move || {
                let jpeg = thumbnail::create(&picture);
                // Not before: a client that goes away leaves its picture to a thread that is busy with it.
                drop((picture, place));
                jpeg
            })
            .await;
        match developed {
            Ok(jpeg) => Ok(jpeg?),
            Err(PoolError::Closed) => Err(PoolError::Closed.into()),
            Err(_) => Err(self.too_busy("There are more pictures than can be made smaller in time.")),
        }
    }

    /// Turns a client away until what is ahead of it now will have been done.
    pub(crate) fn too_busy(&self, detail: &str) -> Problem {
        Problem::unavailable(detail, come_again(&self.threads.stats()))
    }

    /// What the threads do and did, for the status page.
    pub(crate) fn snapshot(&self) -> Value {
        let stats = self.threads.stats();
        json!({
            "threads": stats.threads,
            "running": stats.running,
            "queued": stats.queued + stats.waiting,
            "wait_p50_ms": milliseconds(stats.wait_p50),
            "wait_p95_ms": milliseconds(stats.wait_p95),
            "run_p50_ms": milliseconds(stats.run_p50),
            "run_p95_ms": milliseconds(stats.run_p95),
            "completed": stats.completed,
            "shed": stats.shed,
            "cancelled": stats.cancelled,
        })
    }
}

/// As long as pictures had to wait lately, or as long as those that are there now take, whichever is more.
fn come_again(stats: &PoolStats) -> Duration {
    let ahead = u32::try_from(stats.running + stats.queued + stats.waiting).unwrap_or(u32::MAX);
    let threads = u32::try_from(stats.threads).unwrap_or(u32::MAX);
    stats.wait_p95.max(stats.run_p50.saturating_mul(ahead) / threads)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}
