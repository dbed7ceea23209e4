//! The first good answer of several sources: the next one starts when the one before is slow, or at once when it fails.
//! For one call with a fixed delay; a call that is repeated many times, with a delay by percentile and a budget, is a `Hedge`.

#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::time::Duration;

use nexios::{Candidate, Failure, run_until_first_complete};
use tokio::time::sleep;

async fn ask(source: &str, delay: u64, hits: &[&str]) -> Result<Vec<String>, String> {
    sleep(Duration::from_millis(delay)).await;
    if source == "down" {
        return Err(String::from("connection refused"));
    }
    let hits = hits.iter().map(|hit| format!("{hit} from {source}"));
    Ok(hits.collect())
}

#[tokio::main]
async fn main() {
    let winner = run_until_first_complete([
        Candidate::new("primary", ask("down", 5, &[])),
        Candidate::new("replica", ask("replica", 10, &["rust"])).after(Duration::from_millis(200)),
        Candidate::new("archive", ask("archive", 10, &["old rust"])).on_failure(),
    ])
    .accept(|hits| !hits.is_empty())
    .timeout(Duration::from_secs(1))
    .winner()
    .await
    .expect("the replica is there");
    println!("{} won with {:?}", winner.name, winner.value);
    assert_eq!(winner.name, "replica");

    // Nobody wins: all the errors are there, each with the name of its candidate.
    let error = run_until_first_complete([
        Candidate::new("primary", ask("down", 5, &[])),
        Candidate::new("archive", ask("archive", 60_000, &[])).timeout(Duration::from_millis(20)),
    ])
    .await
    .expect_err("one is down, the other too slow");
    println!("{error}");
    assert!(matches!(error.failures()[1], (_, Failure::TimedOut)));
}
