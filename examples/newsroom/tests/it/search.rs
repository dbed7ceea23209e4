use futures_util::future::join_all;
use serde_json::Value;

use crate::{
    answer::Answer,
    database::Database,
    log,
    service::{Service, serve, url},
};

#[tokio::test]
async fn the_primary_answers_with_ranked_hits() {
    let service = Service::new();
    let found = service.get("/search?q=rust").await.ok(200);
    assert_eq!(found["served_by"], "primary");
    let results = found["results"].as_array().unwrap();
    assert!(!results.is_empty() && results.len() <= 20);
    assert!(
        results[0]["title"].is_string() && results[0]["excerpt"].is_string(),
        "{found}"
    );
    let rank: Vec<f64> = {
        let db = service.database();
        let rank = |hit: &Value| {
            let id = &hit["id"];
            db.value(&format!(
                "SELECT rank FROM articles_text WHERE articles_text MATCH 'rust' AND rowid = {id}"
            ))
        };
        results.iter().map(rank).collect()
    };
    assert!(rank.is_sorted(), "{rank:?}");
}

#[tokio::test]
async fn every_word_must_be_found() {
    let service = Service::new();
    let both = service.get("/search?q=rust%20harbour").await.ok(200);
    for hit in both["results"].as_array().unwrap() {
        let id = &hit["id"];
        let text: String = service.database().value(&format!(
            "SELECT lower(title || body) FROM articles WHERE id = {id}"
        ));
        assert!(text.contains("rust") && text.contains("harbour"), "{text}");
    }
}

#[tokio::test]
async fn a_word_that_nobody_wrote_finds_nothing_and_is_no_error() {
    let found = Service::new().get("/search?q=xylophone").await.ok(200);
    assert_eq!(found["results"], serde_json::json!([]));
}

#[tokio::test]
async fn an_empty_query_is_400() {
    let service = Service::new();
    for uri in [
        "/search",
        "/search?q=",
        "/search?q=%20%09",
        "/search?q=***",
        "/search?q=%22%22",
        "/search?q=%00",
    ] {
        service.get(uri).await.problem(400);
    }
}

#[tokio::test]
async fn a_query_that_is_too_long_or_no_text_is_400() {
    let service = Service::new();
    service
        .get(&format!("/search?q={}", "a".repeat(201)))
        .await
        .problem(400);
    service
        .get("/search?q=rust&primary=sideways")
        .await
        .problem(400);
}

/// Each word is one more pass over the articles, whether a blank or something else is between them.
#[tokio::test]
async fn a_query_of_more_than_ten_words_is_400() {
    let service = Service::new();
    for between in ["%20", ",", "-"] {
        let words = |count: usize| vec!["a"; count].join(between);
        let problem = service
            .get(&format!("/search?q={}", words(11)))
            .await
            .problem(400);
        assert!(
            problem["detail"].as_str().unwrap().contains("10 words"),
            "{problem}"
        );
        service
            .get(&format!("/search?q={}", words(10)))
            .await
            .ok(200);
    }
}

#[tokio::test]
async fn a_query_is_data_and_never_syntax() {
    let service = Service::new();
    let syntax = [
        "rust%20OR%20bread",
        "rust*",
        "%22rust",
        "rust%22",
        "title:rust",
        "NEAR(rust%20bread)",
        "rust%20NOT%20bread",
        "^rust",
        "(rust",
        "-rust",
        "rust%00bread",
        "'; DROP TABLE articles; --",
        "100%25%20_",
        "c%2B%2B",
        "ru%5Cst",
    ];
    for source in ["", "&primary=fail", "&primary=fail&replica=fail"] {
        for q in syntax {
            service
                .get(&format!("/search?q={}{source}", q.replace(' ', "%20")))
                .await
                .ok(200);
        }
    }
    // As words these are in no article, whatever they would mean as syntax.
    assert_eq!(
        service.get("/search?q=rust%20NEAR").await.ok(200)["results"],
        serde_json::json!([])
    );
    assert_eq!(
        service.get("/search?q=rust%20OR%20xylophone").await.ok(200)["results"],
        serde_json::json!([])
    );
    for wildcard in ["r_st", "ru%25t"] {
        let scanned = service
            .get(&format!("/search?q={wildcard}&primary=fail&replica=fail"))
            .await
            .ok(200);
        assert_eq!(scanned["results"], serde_json::json!([]), "{wildcard}");
    }
}

#[tokio::test]
async fn the_replica_answers_when_the_primary_is_slow_or_fails() {
    let service = Service::new();
    let usual = service.get("/search?q=rust").await.ok(200);
    for primary in ["slow", "fail"] {
        let found = service
            .get(&format!("/search?q=rust&primary={primary}&scan=slow"))
            .await
            .ok(200);
        assert_eq!(found["served_by"], "replica", "{primary}");
        assert_eq!(found["results"], usual["results"]);
    }
}

#[tokio::test]
async fn the_scan_answers_when_both_indexes_fail() {
    let service = Service::new();
    let found = service
        .get("/search?q=rust&primary=fail&replica=fail")
        .await
        .ok(200);
    assert_eq!(found["served_by"], "scan");
    assert!(!found["results"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_replica_that_is_gone_hurts_nobody() {
    let service = Service::new();
    std::fs::remove_file(service.path("replica.db")).unwrap();
    assert_eq!(
        service.get("/search?q=rust").await.ok(200)["served_by"],
        "primary"
    );
    assert_eq!(
        service.get("/search?q=rust&primary=fail").await.ok(200)["served_by"],
        "scan"
    );
}

/// The trial only sleeps, so the paused clock drives it.
#[tokio::test(start_paused = true)]
async fn all_too_slow_is_504() {
    let service = Service::new();
    let begun = tokio::time::Instant::now();
    service
        .get("/search?q=rust&primary=slow&replica=slow&scan=slow")
        .await
        .problem(504);
    assert_eq!(begun.elapsed().as_secs(), 3);
}

#[tokio::test]
async fn all_failed_is_503_and_tells_no_cause() {
    let answer = Service::new()
        .get("/search?q=rust&primary=fail&replica=fail&scan=fail")
        .await;
    answer.problem(503);
    assert!(answer.header("retry-after").is_some());
}

/// A search is counted for the source that won it.
#[tokio::test]
async fn the_status_shows_who_won() {
    let service = Service::new();
    let before = service.get("/tasks/status").await.ok(200);
    assert_eq!(
        before["search"],
        serde_json::json!({
            "wins": { "primary": 0, "replica": 0, "scan": 0, "nobody": 0 },
            "replica_reads": {
                "calls": 0, "hedges_started": 0, "hedges_won": 0, "hedges_wasted": 0, "hedges_suppressed": 0,
            },
        })
    );
    for trial in [
        "&replica=slow&scan=slow",
        "&primary=slow&scan=slow",
        "&primary=fail&replica=fail",
        "&primary=fail&replica=fail",
    ] {
        service.get(&format!("/search?q=rust{trial}")).await.ok(200);
    }
    service
        .get("/search?q=rust&primary=fail&replica=fail&scan=fail")
        .await
        .problem(503);
    // A query that is refused is no search.
    service.get("/search?q=").await.problem(400);
    let wins = &service.get("/tasks/status").await.ok(200)["search"]["wins"];
    assert_eq!(
        *wins,
        serde_json::json!({ "primary": 1, "replica": 1, "scan": 2, "nobody": 1 })
    );
}

/// Over a real socket, as a person sees it: the primary is slow, the replica answers, the status tells.
#[tokio::test]
async fn a_person_sees_the_replica_win() {
    let service = Service::new();
    let url = url(serve(service.app.clone()).await);
    let get = async |path: &str| -> serde_json::Value {
        let response = reqwest::get(format!("{url}{path}")).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    };
    let begun = std::time::Instant::now();
    let found = get("search?q=rust&primary=slow&scan=slow").await;
    assert_eq!(found["served_by"], "replica");
    assert!(!found["results"].as_array().unwrap().is_empty());
    let took = begun.elapsed();
    assert!(
        took >= std::time::Duration::from_millis(50),
        "the primary has a head start: {took:?}"
    );
    assert_eq!(get("tasks/status").await["search"]["wins"]["replica"], 1);
}

/// A replica that stutters is read a second time, and the second attempt answers.
#[tokio::test]
async fn a_stuttering_replica_is_read_again() {
    let service = Service::new();
    let found = service
        .get("/search?q=rust&primary=slow&replica=stutter&scan=slow")
        .await
        .ok(200);
    assert_eq!(found["served_by"], "replica");
    let reads = service.get("/tasks/status").await.ok(200)["search"]["replica_reads"].clone();
    assert_eq!(
        reads,
        serde_json::json!({
            "calls": 1, "hedges_started": 1, "hedges_won": 1, "hedges_wasted": 0, "hedges_suppressed": 0,
        })
    );
}

/// The second attempts have a budget: ten at first, then one in twenty reads.
#[tokio::test(start_paused = true)]
async fn second_attempts_at_a_slow_replica_stay_within_their_budget() {
    let service = Service::new();
    for _ in 0..12 {
        service
            .get("/search?q=rust&primary=slow&replica=slow&scan=slow")
            .await
            .problem(504);
    }
    // The status has newsletters too, which are in a database: that takes real time.
    tokio::time::resume();
    let reads = service.get("/tasks/status").await.ok(200)["search"]["replica_reads"].clone();
    assert_eq!(
        reads,
        serde_json::json!({
            "calls": 12, "hedges_started": 10, "hedges_won": 0, "hedges_wasted": 10, "hedges_suppressed": 2,
        })
    );
}

/// Keeps every read of a database waiting: all connections become busy, and nothing is wrong with anything else.
fn lock(service: &Service, name: &str) -> Database {
    let lock = Database::open(service.path(name));
    lock.run("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE");
    lock
}

/// More searches at once than there are connections; returns the answers' statuses, and what is said of the replica.
async fn forty_searches(service: &Service, trial: &str) -> (Vec<Answer>, Value) {
    let uri = format!("/search?q=rust{trial}");
    let answers = join_all((0..40).map(|_| service.get(&uri))).await;
    let status = service.get("/tasks/status").await.ok(200);
    (answers, status["search"]["replica_reads"].clone())
}

fn turned_away(answers: &[Answer]) -> impl Iterator<Item = &Answer> {
    answers.iter().filter(|answer| answer.status == 503)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_that_found_no_connection_is_503_and_tried_nowhere_else() {
    let service = Service::new();
    let lock = lock(&service, "newsroom.db");
    let (answers, reads) = forty_searches(&service, "").await;
    drop(lock);
    // Eight wait for the database, and are too slow; the others are told after a second that they cannot wait.
    assert!(turned_away(&answers).count() >= 32);
    // Under load that is every search: the answer says so, and the numbers of the pool.
    for answer in turned_away(&answers) {
        let lines = log::lines_with(answer.header("x-request-id").unwrap());
        let lost = |line: &Value| line["message"] == "every candidate failed";
        assert!(!lines.is_empty() && !lines.iter().any(lost), "{lines:?}");
    }
    assert_eq!(
        (&reads["calls"], &reads["hedges_started"]),
        (&0.into(), &0.into()),
        "{reads}"
    );
    let afterwards = service.get("/search?q=rust").await;
    let lines = log::lines_with(afterwards.header("x-request-id").unwrap());
    assert_eq!(afterwards.status, 200, "afterwards: {lines:?}");
    assert_eq!(afterwards.ok(200)["served_by"], "primary");
}

/// A budget of second attempts that is used up stays used up when the first ones are turned away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_the_replica_that_found_no_connection_is_not_attempted_again() {
    let service = Service::new();
    let lock = lock(&service, "replica.db");
    let (answers, reads) = forty_searches(&service, "&primary=fail&scan=fail").await;
    drop(lock);
    assert!(turned_away(&answers).count() >= 32);
    assert_eq!(reads["calls"], 40);
    assert!(
        reads["hedges_started"].as_u64().unwrap() <= 12,
        "ten at first, then one in twenty: {reads}"
    );
}
