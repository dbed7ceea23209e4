//! Work that nobody's request waits for.

use std::{thread, time::Duration};

use nexios::{Background, Retry};
use tokio::time::sleep;

/// The stories of the archive that is exported.
const STORIES: u64 = 600;
/// How long one takes.
const A_STORY: Duration = Duration::from_millis(27);

/// A long task that says how far it is.
pub(super) async fn export() {
    let task = Background::global().spawn("export the archive", async |task| {
        for done in 0..=STORIES {
            task.progress(done, STORIES);
            task.message(format!("{done} stories written"));
            if done == STORIES / 3 {
                // What async code must not do: it keeps a thread of the runtime, and the lints of the console tell.
                thread::sleep(Duration::from_millis(150));
            }
            sleep(A_STORY).await;
        }
    });
    // Refused by a service that ends.
    if let Ok(task) = task {
        let _ = task.scoped().await;
    }
}

/// A task that fails twice, and then does not.
pub(super) async fn weather() {
    let retry = Retry::exponential(Duration::from_secs(2), Duration::from_secs(4)).attempts(3);
    let task = Background::global()
        .task("fetch the weather")
        .retry(retry)
        .spawn_fallible(async |task| {
            task.message("asking the weather station");
            sleep(Duration::from_millis(700)).await;
            match task.attempt() {
                3 => Ok(()),
                _ => Err("the weather station does not answer"),
            }
        });
    if let Ok(task) = task {
        let _ = task.scoped().await;
    }
}
