//! `--play`, in real time: the scene is played to a real service.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::binary::{get, start};

/// Several scenes: on a machine that is busy with other things, a copy may come too late to win in the first one.
const LONGEST: Duration = Duration::from_secs(120);

#[tokio::test]
async fn the_scene_shows_a_bit_of_everything_and_ends_with_the_service() {
    let running = start(&["--play"]);
    let url = running.url.clone();
    let seen = async |what: &str, is_seen: fn(&Value) -> bool| {
        let looking = async {
            while !is_seen(&get(&url, "/tasks/status").await.json().await.unwrap()) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(LONGEST, looking).await.expect(what);
    };

    seen("the export", |status| task(status, "export the archive")).await;
    seen("one who leaves", |status| {
        happened(&status["protected_operation"]["disconnects"])
    })
    .await;
    seen("a copy that wins", |status| {
        happened(&status["search"]["replica_reads"]["hedges_won"])
    })
    .await;
    seen("the weather", |status| task(status, "fetch the weather")).await;
    seen("pictures that are turned away", |status| {
        happened(&status["thumbnails"]["shed"])
    })
    .await;
    seen("sums", |status| {
        happened(&status["analytics"]["site"]["computations"])
    })
    .await;

    let end = running.stop("TERM").await;
    assert_eq!(end.code, Some(0), "{end:?}");
    // The export alone would take longer.
    assert!(end.took.as_secs() < 10, "{:?}", end.took);
}

/// Whether there is a task of that name.
fn task(status: &Value, name: &str) -> bool {
    let tasks = status["tasks"].as_array().unwrap();
    tasks.iter().any(|task| task["name"] == name)
}

fn happened(count: &Value) -> bool {
    count.as_u64().unwrap() > 0
}
