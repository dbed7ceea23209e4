//! More pictures than the service can make smaller, over real HTTP.

use std::time::Duration;

use futures_util::future::join_all;
use image::ImageFormat;
use reqwest::{Client, StatusCode, header::RETRY_AFTER};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    pictures::{encode, red_and_blue},
    service::{Service, eventually, serve, url},
    upload::{FORM, form},
};

/// How long the service would be busy with all pictures that come at once, if it took them all.
const WORK: Duration = Duration::from_secs(8);
/// How long a picture may wait for a thread, as the service says.
const LIMIT: Duration = Duration::from_secs(1);

struct Uploaded {
    status: StatusCode,
    retry_after: Option<u64>,
    problem: Option<Value>,
    took: Duration,
}

async fn upload(client: &Client, service: &reqwest::Url, body: Vec<u8>) -> Uploaded {
    let begun = Instant::now();
    let request = client
        .post(service.join("upload").unwrap())
        .header("content-type", FORM);
    let answer = request.body(body).send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let is_problem = headers
        .get("content-type")
        .is_some_and(|kind| kind == "application/problem+json");
    let body = answer.json().await.unwrap();
    Uploaded {
        status,
        retry_after: headers
            .get(RETRY_AFTER)
            .map(|value| value.to_str().unwrap().parse().unwrap()),
        problem: is_problem.then_some(body),
        took: begun.elapsed(),
    }
}

fn milliseconds(thumbnails: &Value, field: &str) -> Duration {
    Duration::from_secs_f64(thumbnails[field].as_f64().unwrap() / 1_000.0)
}

/// A picture that is small to send, and enough to decode that sixteen of them are more than a second's work for the threads.
async fn long_work(client: &Client) -> Vec<u8> {
    let service = Service::new();
    let address = url(serve(service.app.clone()).await);
    let mut body = Vec::new();
    for side in [1_000, 1_400, 2_000, 2_800, 4_000, 5_600] {
        let picture = encode(&red_and_blue(side, side), ImageFormat::Png);
        body = form("image", &picture);
        assert_eq!(upload(client, &address, body.clone()).await.status, 200);
        let thumbnails = service.get("/tasks/status").await.ok(200)["thumbnails"].clone();
        let threads = u32::try_from(thumbnails["threads"].as_u64().unwrap()).unwrap();
        // On a thread alone: the rest of an upload is no work for them.
        if milliseconds(&thumbnails, "run_p95_ms") > threads * Duration::from_millis(150) {
            break;
        }
    }
    body
}

/// As many pictures at once as would keep all threads busy for eight seconds, whatever this machine is like.
/// Whoever gets an answer gets it long before that: a thumbnail, or a 503 that says when to come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_overload_accepted_uploads_stay_fast_and_the_rest_is_refused_quickly() {
    let client = Client::builder().no_proxy().build().unwrap();
    // By a service of its own: what it learns of small pictures is not what the other one knows of its work.
    let body = long_work(&client).await;
    let service = Service::new();
    let address = url(serve(service.app.clone()).await);
    let thumbnails = async || service.get("/tasks/status").await.ok(200)["thumbnails"].clone();
    let threads = u32::try_from(thumbnails().await["threads"].as_u64().unwrap()).unwrap();
    let unloaded = upload(&client, &address, body.clone()).await;
    assert_eq!(unloaded.status, 200, "unloaded");
    let took = unloaded.took;
    let pictures =
        ((WORK * threads).as_secs_f64() / took.as_secs_f64()).clamp(30.0, 1_000.0) as usize;

    let uploads = (0..pictures).map(|_| upload(&client, &address, body.clone()));
    let (accepted, refused): (Vec<_>, Vec<_>) = join_all(uploads)
        .await
        .into_iter()
        .partition(|uploaded| uploaded.status == 200);

    assert!(
        !accepted.is_empty() && !refused.is_empty(),
        "{} and {}",
        accepted.len(),
        refused.len()
    );
    for uploaded in &refused {
        assert_eq!(uploaded.status, 503);
        assert!(
            uploaded.retry_after.is_some_and(|seconds| seconds >= 1),
            "{:?}",
            uploaded.retry_after
        );
        assert_eq!(uploaded.problem.as_ref().unwrap()["status"], 503);
    }
    // What is in memory takes longer than a second, and somebody was told so.
    let longest = refused
        .iter()
        .filter_map(|uploaded| uploaded.retry_after)
        .max();
    assert!(longest.is_some_and(|seconds| seconds >= 2), "{longest:?}");

    let loaded = thumbnails().await;
    assert_eq!(loaded["completed"], 1 + accepted.len());
    assert!(loaded["shed"].as_u64().unwrap() <= refused.len() as u64);
    // A percentile is reported at most an eighth too high.
    assert!(
        milliseconds(&loaded, "wait_p95_ms") <= LIMIT * 9 / 8,
        "{loaded}"
    );
    // The bounds are on the waits; how long the rest takes is the machine's business, with much room for it.
    for (uploads, what) in [(&accepted, "accepted"), (&refused, "refused")] {
        let mut took: Vec<_> = uploads.iter().map(|uploaded| uploaded.took).collect();
        took.sort();
        assert!(
            took[took.len() / 2] < WORK * 3 / 4,
            "half of the {what} took {:?}",
            took[took.len() / 2]
        );
    }

    // Nothing is left behind: the next one is served at once.
    eventually(async || {
        let now = thumbnails().await;
        (now["running"] == 0 && now["queued"] == 0).then_some(())
    })
    .await;
    assert_eq!(
        upload(&client, &address, body).await.status,
        200,
        "afterwards"
    );
}
