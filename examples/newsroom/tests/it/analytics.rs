use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, SystemTime},
};

use axum::{body::Body, http::Request};
use newsroom::{Newsroom, router};
use nexios::Background;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{answer::Answer, service::Service};

async fn days(service: &Service) -> Vec<Value> {
    service.get("/analytics/daily").await.ok(200)["days"].as_array().unwrap().clone()
}

async fn reset(service: &Service) {
    let answer = service.post("/analytics/reset", "text/plain", "").await;
    assert_eq!(answer.status, 204);
}

/// More than the system's clock goes on while a test runs.
const A_MOMENT: Duration = Duration::from_secs(60);

/// In UTC, by the system's clock.
fn until_midnight() -> Duration {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    Duration::from_secs(24 * 60 * 60 - since_1970 % (24 * 60 * 60))
}

#[tokio::test]
async fn the_sums_are_those_of_the_file() {
    let service = Service::new();
    let mut sums = BTreeMap::<String, [u64; 3]>::new();
    for line in fs::read_to_string(service.path("large_dataset.csv")).unwrap().lines().skip(1) {
        let fields: Vec<_> = line.split(',').collect();
        let day = sums.entry(fields[0].to_owned()).or_default();
        for (sum, field) in day.iter_mut().zip(&fields[2..]) {
            *sum += field.parse::<u64>().unwrap();
        }
    }
    let expected: Vec<_> = sums
        .iter()
        .map(|(date, [views, clicks, conversions])| {
            json!({ "date": date, "views": views, "clicks": clicks, "conversions": conversions })
        })
        .collect();
    assert_eq!(expected.len(), 365);
    assert_eq!(days(&service).await, expected);
}

#[tokio::test]
async fn the_sums_are_computed_once_until_they_are_reset() {
    let service = Service::new();
    let first = days(&service).await;
    let header = "date,page,views,clicks,conversions\n";
    fs::write(
        service.path("large_dataset.csv"),
        format!("{header}2026-01-01,/,3,2,1\n2026-01-01,/jobs,4,0,0\n"),
    )
    .unwrap();
    assert_eq!(days(&service).await, first);
    reset(&service).await;
    assert_eq!(
        days(&service).await,
        [json!({ "date": "2026-01-01", "views": 7, "clicks": 2, "conversions": 1 })]
    );
}

#[tokio::test]
async fn they_are_computed_anew_after_midnight() {
    let service = Service::new();
    let newsroom = Newsroom::new(&service.config);
    let app = router(newsroom.clone());
    let days = async || {
        let request = Request::get("/analytics/daily").body(Body::empty()).unwrap();
        Answer::read(app.clone().oneshot(request).await.unwrap()).await.ok(200)["days"].clone()
    };
    let first = days().await;
    let one_day = "date,page,views,clicks,conversions\n2026-01-01,/,3,2,1\n";
    fs::write(service.path("large_dataset.csv"), one_day).unwrap();

    tokio::time::pause();
    newsroom.reset_analytics_daily();
    let schedule =
        Background::global().list().into_iter().find(|task| task.name.contains("midnight")).unwrap();
    let midnight = until_midnight();
    tokio::time::sleep(midnight.saturating_sub(A_MOMENT)).await;
    assert!(days().await == first || midnight < A_MOMENT, "not before midnight");
    tokio::time::sleep(2 * A_MOMENT).await;
    tokio::time::resume();
    assert_eq!(days().await.as_array().unwrap().len(), 1);
    assert!(Background::global().cancel(schedule.id));
}

#[tokio::test]
async fn a_dataset_that_cannot_be_read_is_500_and_tried_again() {
    let service = Service::new();
    let dataset = service.path("large_dataset.csv");
    let good = fs::read(&dataset).unwrap();
    fs::write(&dataset, "date,page,views,clicks,conversions\n2026-01-01,/,many,2,1\n").unwrap();
    service.get("/analytics/daily").await.problem(500);
    fs::remove_file(&dataset).unwrap();
    let problem = service.get("/analytics/daily").await.problem(500);
    assert!(problem["id"].is_string(), "{problem}");
    fs::write(&dataset, good).unwrap();
    assert_eq!(days(&service).await.len(), 365);
}

#[tokio::test]
async fn reading_is_no_way_to_reset() {
    Service::new().get("/analytics/reset").await.problem(405);
}
