//! The threads and the memory that make thumbnails, and how long they will be busy.

mod memory;

use std::{num::NonZero, sync::Arc, thread::available_parallelism, time::Duration};

use nexios::{Overload, PoolError, ThreadPool};
use nexios_axum::Problem;
use serde_json::{Value, json};

use crate::{
    thumbnail::{self, Header, PictureError, Stop},
    uploads::Upload,
};
use memory::Memory;

/// Threads at least: one large picture leaves another one to the small ones.
const LEAST_THREADS: usize = 2;
/// Threads at most: on a large machine the other routes get the rest of the cores.
const MOST_THREADS: usize = 4;
/// How many pictures wait for a thread.
const QUEUE: usize = 16;
/// How long a picture waits for memory, and then for a thread. Who uploads one does not mind a second, but leaves
/// after a few.
const LIMIT: Duration = Duration::from_secs(1);
/// How long decoding one picture may take; the largest take about a second.
const DECODING: Duration = Duration::from_secs(10);

/// Few threads, and memory for the pictures that they work on: what cannot be begun in time is turned away.
pub(crate) struct Darkroom {
    threads: ThreadPool,
    memory: Arc<Memory>,
}

impl Darkroom {
    pub(crate) fn new() -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        let builder = ThreadPool::builder()
            .name("thumbnails")
            .threads(cores.clamp(LEAST_THREADS, MOST_THREADS));
        Darkroom {
            threads: builder
                .queue(QUEUE)
                .overload(Overload::ShedAfter(LIMIT))
                .build(),
            memory: Arc::new(Memory::new()),
        }
    }

    /// Makes the thumbnail of a picture; the memory of both is free when it is done with or dropped.
    pub(crate) async fn develop(&self, upload: Upload) -> Result<Vec<u8>, Problem> {
        let header = Header::read(&upload.picture)?;
        let Some(memory) = self.memory.take(header.memory(), LIMIT).await else {
            return Err(self.too_busy());
        };
        let developed: Result<Result<_, PictureError>, _> = self
            .threads
            .run_with(move |token| {
                let jpeg = thumbnail::create(&upload.picture, &header, &Stop::new(token, DECODING));
                // Not before: a client that goes away leaves its picture to a thread that is busy with it.
                drop((upload, memory));
                jpeg
            })
            .await;
        match developed {
            Ok(jpeg) => Ok(jpeg?),
            Err(PoolError::Closed) => Err(PoolError::Closed.into()),
            Err(_) => Err(self.too_busy()),
        }
    }

    fn too_busy(&self) -> Problem {
        Problem::unavailable(
            "There are more pictures than can be made smaller in time.",
            self.come_again(),
        )
    }

    /// How long until what is there now will have been done: as long as pictures had to wait lately, or as long as
    /// those ahead take, whichever is more.
    pub(crate) fn come_again(&self) -> Duration {
        let stats = self.threads.stats();
        // Of those beyond the queue most will be turned away as well.
        let waiting = (stats.queued + stats.waiting + self.memory.waiting()).min(QUEUE);
        let ahead = u32::try_from(stats.running + waiting).unwrap_or(u32::MAX);
        let threads = u32::try_from(stats.threads).unwrap_or(u32::MAX);
        stats
            .wait_p95
            .max(stats.run_p50.saturating_mul(ahead) / threads)
    }

    /// What the threads do and did, for the status page.
    pub(crate) fn snapshot(&self) -> Value {
        let stats = self.threads.stats();
        json!({
            "threads": stats.threads,
            "running": stats.running,
            "queued": stats.queued + stats.waiting + self.memory.waiting(),
            "memory_mb": self.memory.taken_mb(),
            "wait_p50_ms": exact_milliseconds(stats.wait_p50),
            "wait_p95_ms": exact_milliseconds(stats.wait_p95),
            "run_p50_ms": exact_milliseconds(stats.run_p50),
            "run_p95_ms": exact_milliseconds(stats.run_p95),
            "completed": stats.completed,
            "shed": stats.shed,
            "cancelled": stats.cancelled,
        })
    }
}

fn exact_milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}
