use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{body::Body, http::Request};
use newsroom::{Newsroom, router};
use nexios::Background;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    answer::Answer,
    log,
    service::{Service, eventually, serve},
};

async fn days(service: &Service) -> Vec<Value> {
    service.get("/analytics/daily").await.ok(200)["days"]
        .as_array()
        .unwrap()
        .clone()
}

/// What the status page says of both.
async fn counters(service: &Service) -> Value {
    service.get("/tasks/status").await.ok(200)["analytics"].clone()
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
    for line in fs::read_to_string(service.path("large_dataset.csv"))
        .unwrap()
        .lines()
        .skip(1)
    {
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
async fn they_are_computed_anew_after_midnight_before_anybody_asks() {
    let service = Service::new();
    let newsroom = Newsroom::new(&service.config);
    let app = router(newsroom.clone());
    let get = async |uri: &str| {
        let request = Request::get(uri).body(Body::empty()).unwrap();
        Answer::read(app.clone().oneshot(request).await.unwrap())
            .await
            .ok(200)
    };
    let computations =
        async || get("/tasks/status").await["analytics"]["site"]["computations"].as_u64();
    get("/analytics/daily").await;
    let one_day = "date,page,views,clicks,conversions\n2026-01-01,/,3,2,1\n";
    fs::write(service.path("large_dataset.csv"), one_day).unwrap();

    tokio::time::pause();
    newsroom.refresh_analytics_daily();
    let schedule = Background::global()
        .list()
        .into_iter()
        .find(|task| task.name.contains("midnight"))
        .unwrap();
    let midnight = until_midnight();
    tokio::time::sleep(midnight.saturating_sub(A_MOMENT)).await;
    // The status has newsletters too, which are in a database: that takes real time.
    tokio::time::resume();
    assert!(
        computations().await == Some(1) || midnight < A_MOMENT,
        "not before midnight"
    );
    tokio::time::pause();
    tokio::time::sleep(2 * A_MOMENT).await;
    tokio::time::resume();
    eventually(async || (computations().await == Some(2)).then_some(())).await;
    eventually(async || {
        (get("/analytics/daily").await["days"].as_array()?.len() == 1).then_some(())
    })
    .await;
    assert_eq!(computations().await, Some(2));
    assert!(Background::global().cancel(schedule.id));
}

#[tokio::test]
async fn past_the_soft_limit_old_sums_are_served_while_new_ones_are_computed() {
    let service = Service::new();
    let first = days(&service).await;
    let one_day = "date,page,views,clicks,conversions\n2026-01-01,/,3,2,1\n";
    fs::write(service.path("large_dataset.csv"), one_day).unwrap();

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(24 * 60 * 60 + 5)).await;
    tokio::time::resume();
    let stale = service.get("/analytics/daily").await;
    assert_eq!(stale.ok(200)["days"].as_array().unwrap(), &first);
    let age: u64 = stale.header("age").unwrap().parse().unwrap();
    assert!((86_405..86_500).contains(&age), "{age}");
    eventually(async || (days(&service).await.len() == 1).then_some(())).await;
    let fresh = service.get("/analytics/daily").await;
    assert!(fresh.header("age").unwrap().parse::<u64>().unwrap() < 60);
}

#[tokio::test]
async fn past_the_hard_limit_old_sums_are_served_no_more() {
    let service = Service::new();
    days(&service).await;
    let one_day = "date,page,views,clicks,conversions\n2026-01-01,/,3,2,1\n";
    fs::write(service.path("large_dataset.csv"), one_day).unwrap();

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(25 * 60 * 60)).await;
    tokio::time::resume();
    assert_eq!(days(&service).await.len(), 1);
}

#[tokio::test]
async fn a_refresh_computes_anew_and_says_so() {
    let service = Service::new();
    let first = days(&service).await;
    let one_day = "date,page,views,clicks,conversions\n2026-01-01,/,3,2,1\n";
    fs::write(service.path("large_dataset.csv"), one_day).unwrap();
    assert_eq!(days(&service).await, first);
    let refreshed = service.get("/analytics/daily?refresh=1").await;
    assert_eq!(refreshed.ok(200)["days"].as_array().unwrap().len(), 1);
    assert_eq!(refreshed.header("age"), Some("0"));
    assert_eq!(refreshed.header("content-type"), Some("application/json"));
    assert_eq!(days(&service).await.len(), 1);
    assert_eq!(counters(&service).await["site"]["computations"], 2);
    service
        .get("/analytics/daily?refresh=yes")
        .await
        .problem(400);
}

#[tokio::test]
async fn the_body_is_encoded_once_for_all_requests() {
    let service = Service::new();
    let (one, two) = (
        service.get("/analytics/daily").await,
        service.get("/analytics/daily").await,
    );
    assert_eq!(one.body, two.body);
    // The same bytes in memory, not equal ones.
    assert_eq!(one.body.as_ptr(), two.body.as_ptr());
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_connections_on_a_cold_cell_compute_once() {
    let service = Service::new();
    let address = serve(service.app.clone()).await;
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(64));
    let clients: Vec<_> = (0..64)
        .map(|_| {
            let start = start.clone();
            tokio::spawn(async move {
                // A client of its own has a connection of its own.
                let client = reqwest::Client::builder().no_proxy().build().unwrap();
                start.wait().await;
                let url = format!("http://{address}/analytics/daily");
                client
                    .get(url)
                    .send()
                    .await
                    .unwrap()
                    .error_for_status()
                    .unwrap()
                    .bytes()
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut bodies = Vec::new();
    for client in clients {
        bodies.push(client.await.unwrap());
    }
    assert!(
        bodies
            .iter()
            .all(|body| *body == bodies[0] && body.len() > 1_000)
    );
    let site = counters(&service).await["site"].clone();
    let count = |name: &str| site[name].as_u64().unwrap();
    assert_eq!(
        (count("computations"), count("misses"), count("failures")),
        (1, 1, 0),
        "{site}"
    );
    assert_eq!(count("hits") + count("waits"), 63, "{site}");
    assert!(
        site["last_ms"].is_u64() && site["age_ms"].is_u64(),
        "{site}"
    );
}

/// Every page is taken from the one reading that gives them all.
#[tokio::test]
async fn a_page_has_sums_of_its_own() {
    let service = Service::new();
    let rows = "date,page,views,clicks,conversions\n2026-01-02,/,1,1,1\n2026-01-01,/,3,2,1\n2026-01-01,/jobs,4,0,0\n";
    fs::write(service.path("large_dataset.csv"), rows).unwrap();
    let page = async |page: &str| {
        service
            .get(&format!("/analytics/daily{page}"))
            .await
            .ok(200)
    };
    let day = json!({ "date": "2026-01-01", "views": 4, "clicks": 0, "conversions": 0 });
    assert_eq!(
        page("?page=/jobs").await,
        json!({ "page": "/jobs", "days": [day] })
    );
    let home = page("?page=/").await;
    assert_eq!(
        (&home["days"][0]["views"], &home["days"][1]["date"]),
        (&json!(3), &json!("2026-01-02"))
    );
    assert_eq!(page("").await["days"][0]["views"], 7);
    assert_eq!(
        counters(&service).await["site"]["computations"],
        1,
        "one reading for all of them"
    );

    fs::write(
        service.path("large_dataset.csv"),
        rows.replace("jobs,4", "jobs,5"),
    )
    .unwrap();
    assert_eq!(page("?page=/jobs").await["days"][0]["views"], 4, "kept");
    assert_eq!(page("?page=/jobs&refresh=1").await["days"][0]["views"], 5);
    assert_eq!(
        page("").await["days"][0]["views"],
        8,
        "a refresh is one of all"
    );
    assert_eq!(counters(&service).await["site"]["computations"], 2);
}

#[tokio::test]
async fn an_unknown_page_is_404_and_costs_no_computation() {
    let service = Service::new();
    for page in 0..200 {
        service
            .get(&format!("/analytics/daily?page=/nowhere-{page}"))
            .await
            .problem(404);
    }
    service.get("/analytics/daily?page=").await.problem(404);
    assert_eq!(counters(&service).await["site"]["computations"], 1);
}

/// What is wrong with the data is for the log; the client learns that it is not its fault.
#[tokio::test]
async fn a_dataset_without_good_sums_is_500_and_the_log_names_the_row() {
    let service = Service::new();
    let header = "date,page,views,clicks,conversions\n";
    let most = u64::MAX;
    let many: String = (0..100_001)
        .map(|page| format!("2026-01-01,/{page},1,1,1\n{page},/,1,1,1\n"))
        .collect();
    for (rows, wrong) in [
        ("".to_owned(), "has no rows"),
        (header.to_owned(), "has no rows"),
        (
            format!("{header}2026-01-01,/,{most},0,0\n2026-01-01,/,1,0,0\n"),
            "line 3",
        ),
        // No page has too many clicks, but the site has.
        (
            format!(
                "{header}2026-01-01,/,0,{most},0\n2026-01-02,/,0,0,0\n2026-01-01,/jobs,0,1,0\n"
            ),
            "line 4",
        ),
        (format!("{header}2026-01-01,/,0,0,{most}0\n"), "line: 2"),
        (format!("{header}2026-01-01,/,-1,0,0\n"), "line: 2"),
        (format!("{header}{many}"), "more than 200000 sums"),
    ] {
        fs::write(service.path("large_dataset.csv"), rows).unwrap();
        let problem = service.get("/analytics/daily").await.problem(500);
        let lines = log::lines_with(problem["id"].as_str().unwrap());
        assert!(
            lines[0]["cause"].as_str().unwrap().contains(wrong),
            "{wrong}: {lines:?}"
        );
    }
}

/// Who asks for sums and forgets them in turns does not make everybody else wait for a reading each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_are_refused_while_a_reading_waits_for_another() {
    let service = Arc::new(Service::new());
    let rows = "2026-01-01,/,1,1,1\n".repeat(400_000);
    let dataset = format!("date,page,views,clicks,conversions\n{rows}");
    fs::write(service.path("large_dataset.csv"), dataset).unwrap();
    let mut reads = Vec::new();
    let mut refused = 0;
    for _ in 0..20 {
        let reset = service.post("/analytics/reset", "text/plain", "").await;
        if reset.status != 204 {
            reset.problem(503);
            assert!(reset.header("retry-after").is_some());
            refused += 1;
        }
        let reader = service.clone();
        reads.push(tokio::spawn(async move { days(&reader).await }));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for read in reads {
        assert_eq!(read.await.unwrap()[0]["views"], 400_000);
    }
    let computations = counters(&service).await["site"]["computations"]
        .as_u64()
        .unwrap();
    assert!(
        refused >= 5 && computations <= 15,
        "{refused} refused, {computations} computations"
    );
    reset(&service).await;
}

/// A client that does not wait leaves no reading behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_that_nobody_waits_for_stops() {
    let service = Service::new();
    let fifo = service.path("large_dataset.csv");
    fs::remove_file(&fifo).unwrap();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    // A reading that has no end of its own.
    let (ends, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut rows = fs::File::create(&fifo).unwrap();
        writeln!(rows, "date,page,views,clicks,conversions").unwrap();
        while writeln!(rows, "2026-01-01,/,1,1,1").is_ok() {}
        ends.send(())
    });
    let asked = tokio::time::timeout(Duration::from_millis(300), service.get("/analytics/daily"));
    assert!(asked.await.is_err());
    tokio::time::timeout(Duration::from_secs(20), ended)
        .await
        .expect("it goes on")
        .unwrap();
}

#[tokio::test]
async fn a_dataset_that_cannot_be_read_is_500_and_tried_again() {
    let service = Service::new();
    let dataset = service.path("large_dataset.csv");
    let good = fs::read(&dataset).unwrap();
    fs::write(
        &dataset,
        "date,page,views,clicks,conversions\n2026-01-01,/,many,2,1\n",
    )
    .unwrap();
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
