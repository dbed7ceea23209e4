//! Work that outlives its request: it has a name, a progress and retries, and the end of the process waits for it.

#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::time::Duration;

use nexios::{Background, Drain, Retry};

async fn deliver(letter: u64, attempt: u32) -> Result<(), String> {
    match (letter, attempt) {
        (3, 1) => Err(String::from("mailbox is busy")),
        _ => Ok(()),
    }
}

#[tokio::main]
async fn main() {
    let background = Background::builder().name("letters").limit(4).build();
    let again = Retry::exponential(Duration::from_millis(10), Duration::from_secs(1)).attempts(3);
    let newsletter = background.task("newsletter").retry(again);
    let task = newsletter.spawn_fallible(|task| async move {
        for letter in 1..=5 {
            task.progress(letter, 5);
            deliver(letter, task.attempt()).await?;
        }
        Ok::<_, String>(5)
    });
    let task = task.expect("there is room for it");

    let id = task.id();
    println!("{:?} letters", task.await);
    let info = background.get(id).expect("the history has it");
    println!("{} after {} attempts", info.state.as_str(), info.attempt);

    // Nobody waits for this one, but for the end of the process.
    drop(background.spawn_future("clean up", async {}));
    let (wait, cancel) = (Duration::from_secs(5), Duration::from_secs(1));
    let report = background.drain(Drain { wait, cancel }).await;
    println!("at the end: {:?} completed", report.completed);
    assert!(report.abandoned.is_empty());
}
