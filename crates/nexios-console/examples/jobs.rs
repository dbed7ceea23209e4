//! Jobs to look at: `cargo run -p nexios-console --features jobs --example jobs`, then
//! <http://127.0.0.1:7010/nexios/background>. Letters with an odd number fail; they can be retried there.

use std::time::Duration;

use axum::Router;
use nexios_axum::NexiosApp;
use nexios_console::Console;
use nexios_jobs::{JobContext, JobError, Jobs, JobsError, Kind, Policy};

const SEND: Kind<u64, ()> = Kind::new("send letter");

async fn send(letter: u64, job: JobContext) -> Result<(), JobError> {
    for line in 1..=20 {
        job.progress(line, 20);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    match letter % 2 {
        1 => Err(JobError::discard("the address is odd")),
        _ => Ok(()),
    }
}

/// The store is opened before the first client comes; the console is there by then, and hears of it.
pub(crate) fn app() -> NexiosApp {
    let console = Console::builder().loopback().allow_actions().build();
    let router = Router::new().nest_service("/nexios", console.router());
    NexiosApp::new(router).on_startup("open the jobs", async move || {
        let jobs = Jobs::memory(); // or Jobs::open("postgres://…").await?
        console.show_jobs(&jobs);
        jobs.workers()
            .handle(SEND, Policy::new(), send)
            .start()
            .await?;
        jobs.enqueue_many(SEND, &[1, 2, 3, 4, 5, 6, 7, 8]).await?;
        Ok::<_, JobsError>(())
    })
}

#[tokio::main]
async fn main() -> Result<(), nexios_axum::ServeError> {
    app().serve("127.0.0.1:7010").await.map(drop)
}
