//! How workers hear of what other processes have put in.

use std::time::SystemTime;

use nexios_jobs::{Kind, Policy};
use tokio::time::sleep;

use crate::kit::{Kit, end, millis};

/// Returns when it was started.
const STAMP: Kind<(), SystemTime> = Kind::new("stamp");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_another_process_starts_at_the_next_look_at_the_log() {
    let kit = Kit::sqlite();
    let (jobs, elsewhere) = (kit.jobs().await, kit.jobs().await);
    let stamp = |(), _| async { Ok::<_, String>(SystemTime::now()) };
    let workers = jobs
        .workers()
        .handle(STAMP, Policy::new(), stamp)
        .start()
        .await
        .unwrap();
    let mut waits = Vec::new();
    for _ in 0..11 {
        let enqueued = SystemTime::now();
        let job = elsewhere.enqueue(STAMP, &()).await.unwrap();
        let started = jobs.job(STAMP, job.id()).wait().await.unwrap();
        waits.push(started.duration_since(enqueued).unwrap_or_default());
        sleep(millis(130)).await;
    }
    waits.sort_unstable();
    // A machine with a lot to do has its time; asking SQLite alone takes most of a second.
    assert!(waits[5] < millis(500), "{waits:?}");
    end(&workers).await;
}
