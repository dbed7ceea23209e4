use std::{fs, path::PathBuf, time::Duration};

use axum::{
    Router,
    http::header::{
        CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_MODIFIED_SINCE, LAST_MODIFIED, RANGE,
    },
};
use nexios_axum::NexiosApp;
use reqwest::{Client, StatusCode};
use tempfile::TempDir;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

use crate::{
    running::{Running, eventually, problem, soon},
    services::static_file_server::{
        from_a_handler, from_the_root, one_file, serve, two_directories, under_a_path,
        with_a_handler_for_the_rest, with_a_page_for_the_rest,
    },
};

fn assets() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real_code/assets").into()
}

const PAGE: &str = include_str!("assets/index.html");
const SCRIPT: &str = include_str!("assets/script.js");

/// Asks one of the ways, and checks what it answers.
async fn answers(way: Router, expected: &[(&str, u16, &str)]) {
    let running = Running::start(NexiosApp::new(way)).await;
    for &(path, status, text) in expected {
        let answer = running.get(path).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.text().await.unwrap(), text, "{path}");
    }
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn each_way_serves_its_files_and_what_it_says_of_those_that_are_missing() {
    let assets = assets();
    let found = ("/assets/script.js", 200, SCRIPT);
    answers(
        under_a_path(&assets),
        &[found, ("/assets/index.html", 200, PAGE)],
    )
    .await;
    answers(
        with_a_page_for_the_rest(&assets),
        &[
            found,
            ("/foo", 200, "Hi from /foo"),
            ("/assets/missing.jpg", 404, PAGE),
            ("/script.js", 404, PAGE),
        ],
    )
    .await;
    answers(
        from_the_root(&assets),
        &[
            ("/script.js", 200, SCRIPT),
            ("/", 200, PAGE),
            ("/foo", 200, "Hi from /foo"),
            ("/missing", 404, PAGE),
        ],
    )
    .await;
    answers(
        with_a_handler_for_the_rest(&assets),
        &[
            ("/script.js", 200, SCRIPT),
            ("/foo", 200, "Hi from /foo"),
            ("/missing", 404, "Not found"),
        ],
    )
    .await;
    let dist = tempfile::tempdir().unwrap();
    fs::write(dist.path().join("built.js"), "built").unwrap();
    answers(
        two_directories(&assets, dist.path()),
        &[
            found,
            ("/dist/built.js", 200, "built"),
            ("/dist/script.js", 404, ""),
        ],
    )
    .await;
    answers(
        from_a_handler(&assets),
        &[("/foo/script.js", 200, SCRIPT), ("/foo/missing", 404, "")],
    )
    .await;
    answers(one_file(&assets), &[("/foo", 200, PAGE), ("/bar", 404, "")]).await;
}

#[tokio::test]
async fn an_address_that_is_taken_ends_the_ways_that_have_begun() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = |port| (port, one_file(&assets()));
    let taken = taken.local_addr().unwrap().port();
    let ways = [0, 0, 0, taken, 0, 0, 0].map(way);
    let error = soon(serve(ways)).await.unwrap_err().to_string();
    assert!(error.contains(&taken.to_string()), "{error}");
}

#[tokio::test]
async fn a_file_that_is_missing_is_a_problem_with_the_path_that_was_asked_for() {
    let running = Running::start(NexiosApp::new(under_a_path(&assets()))).await;
    for path in ["/assets/missing.jpg", "/missing.jpg"] {
        let problem = problem(running.get(path).await, StatusCode::NOT_FOUND).await;
        assert_eq!(problem["path"], path);
    }
}

#[tokio::test]
async fn nothing_outside_of_the_directory_is_served() {
    let running = Running::start(NexiosApp::new(under_a_path(&assets()))).await;
    for path in [
        "/assets/..%2Fmain.rs",
        "/assets/%2e%2e/main.rs",
        "/assets//etc/passwd",
    ] {
        let mut client = running
            .send(&format!(
                "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"
            ))
            .await;
        let answer = crate::running::rest(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn parts_heads_and_files_that_have_not_changed_cost_no_whole_answer() {
    let running = Running::start(NexiosApp::new(under_a_path(&assets()))).await;
    let url = running.url("/assets/index.html");
    let client = Client::new();
    let part = client
        .get(&url)
        .header(RANGE, "bytes=0-14")
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    let range = format!("bytes 0-14/{}", PAGE.len());
    assert_eq!(part.headers()[CONTENT_RANGE], range);
    assert_eq!(part.text().await.unwrap(), "<!doctype html>");
    let beyond = client
        .get(&url)
        .header(RANGE, "bytes=9999-")
        .send()
        .await
        .unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let head = client.head(&url).send().await.unwrap();
    assert_eq!(head.headers()[CONTENT_LENGTH], PAGE.len().to_string());
    assert_eq!(head.headers()[CONTENT_TYPE], "text/html");
    let since = head.headers()[LAST_MODIFIED].clone();
    let unchanged = client.get(&url).header(IF_MODIFIED_SINCE, since);
    let unchanged = unchanged.send().await.unwrap();
    assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
    assert!(running.stop().await.is_clean());
}

/// More than what sockets hold for a client that does not read.
const LARGE: usize = 32 << 20;

/// A service with a large file, and a client that has read the head of its answer.
async fn begun(app: impl FnOnce(NexiosApp) -> NexiosApp) -> (Running, TcpStream, TempDir) {
    let files = tempfile::tempdir().unwrap();
    fs::write(files.path().join("large"), vec![b'x'; LARGE]).unwrap();
    let running = Running::start(app(NexiosApp::new(under_a_path(files.path())))).await;
    let mut client = running
        .send("GET /assets/large HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
        .await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(client.read_u8()).await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 200"));
    (running, client, files)
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_its_whole_file_though_the_service_ends() {
    let (running, mut client, _files) = begun(|app| app).await;
    running.close().await;
    let mut left = LARGE;
    let mut piece = vec![0; 4 << 20];
    while left > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let read = soon(client.read(&mut piece)).await.unwrap();
        assert!(read > 0, "{left} bytes are missing");
        left -= read;
    }
    let report = running.ended().await;
    assert!(report.is_clean() && report.cut_off.is_empty(), "{report:?}");
}

#[tokio::test]
async fn a_client_that_reads_nothing_holds_up_no_end_and_is_named() {
    let (running, client, _files) = begun(|app| app).await;
    let report = running.stop().await;
    assert!(report.elapsed < Duration::from_secs(15), "{report:?}");
    assert_eq!(report.cut_off.len(), 1, "{report:?}");
    let named = report.cut_off[0].starts_with("response to 127.0.0.1:");
    assert!(named, "{report:?}");
    drop(client);
}

#[tokio::test]
async fn a_client_that_reads_nothing_keeps_no_connection() {
    let short = |app: NexiosApp| app.dead_peer_limit(Duration::from_millis(500));
    let (running, client, _files) = begun(short).await;
    assert_eq!(running.handle.connections(), 1);
    eventually(|| running.handle.connections() == 0).await;
    drop(client);
    assert!(running.stop().await.is_clean());
}
