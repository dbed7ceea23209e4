use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::http::header::{CONTENT_TYPE, LOCATION};
use futures_util::stream;
use reqwest::{Body, Client, Response, StatusCode, redirect};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    running::{PATIENCE, Running, eventually, problem, rest, soon},
    services::stream_to_file::{UNFINISHED, Uploads, app},
};

const LONGEST: usize = 8 << 20;

struct Service {
    running: Running,
    /// Around the directory of the uploads.
    around: TempDir,
}

impl Service {
    async fn start(patience: Duration) -> Self {
        let around = tempfile::tempdir().unwrap();
        let uploads = Uploads {
            directory: around.path().join("uploads"),
            longest: LONGEST,
        };
        let running = Running::start(app(uploads, patience)).await;
        Service { running, around }
    }

    fn directory(&self) -> PathBuf {
        self.around.path().join("uploads")
    }

    fn names(&self) -> Vec<String> {
        names(&self.directory())
    }

    fn content(&self, name: &str) -> Vec<u8> {
        fs::read(self.directory().join(name)).unwrap()
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Response {
        let request = Client::new().post(self.running.url(path));
        soon(request.body(body).send()).await.unwrap()
    }

    /// Sends a form whose parts are as they are given.
    async fn form(&self, body: &str) -> Response {
        let client = Client::builder().redirect(redirect::Policy::none()).build();
        let request = client.unwrap().post(self.running.url("/"));
        let request = request.header(CONTENT_TYPE, "multipart/form-data; boundary=cut");
        soon(request.body(body.to_owned()).send()).await.unwrap()
    }

    /// Begins with the upload of a file, and waits until it has begun to be written.
    async fn half(&self, name: &str) -> TcpStream {
        let head = format!(
            "POST /file/{name} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 10\r\n\r\nhalf"
        );
        let stream = self.running.send(&head).await;
        eventually(|| {
            let names = self.names();
            names.iter().any(|name| name.starts_with(UNFINISHED))
        })
        .await;
        stream
    }
}

fn names(directory: &Path) -> Vec<String> {
    let files = directory.read_dir().unwrap();
    let name = |file: std::io::Result<fs::DirEntry>| file.unwrap().file_name();
    let mut names: Vec<_> = files
        .map(|file| name(file).into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A part of a form.
fn part(disposition: &str, content: &str) -> String {
    format!("--cut\r\ncontent-disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
}

#[tokio::test]
async fn a_body_becomes_a_file_and_takes_the_place_of_an_older_one() {
    let service = Service::start(PATIENCE).await;
    let answer = service.post("/file/note.txt", "short").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.text().await.unwrap(), "");
    assert_eq!(service.content("note.txt"), b"short");
    let chunks = (0..64_u8).map(|number| Ok::<_, std::io::Error>(vec![number; 64 << 10]));
    let whole: Vec<u8> = (0..64_u8)
        .flat_map(|number| vec![number; 64 << 10])
        .collect();
    let body = Body::wrap_stream(stream::iter(chunks));
    let answer = service.post("/file/note.txt", body).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(service.content("note.txt") == whole, "it is another one");
    assert_eq!(service.names(), ["note.txt"]);
    assert!(service.running.stop().await.is_clean());
}

#[tokio::test]
async fn each_file_of_a_form_is_written_and_its_sender_is_sent_back() {
    let service = Service::start(PATIENCE).await;
    let page = service.running.get("/").await;
    assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(page.text().await.unwrap().contains("multipart/form-data"));
    let form = [
        part("name=\"file\"; filename=\"one\"", "1"),
        part("name=\"remark\"", "no file"),
        part("name=\"file\"; filename=\"two\"", "2"),
        String::from("--cut--\r\n"),
    ];
    let answer = service.form(&form.concat()).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()[LOCATION], "/");
    assert_eq!(service.names(), ["one", "two"]);
    assert_eq!(
        (service.content("one"), service.content("two")),
        (b"1".into(), b"2".into())
    );
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_refused() {
    let service = Service::start(PATIENCE).await;
    let unfinished = format!("{UNFINISHED}mine");
    let elsewhere = [
        "..%2Fout",
        "%2e%2e",
        "a%2Fb",
        "%2Fnowhere%2Fout",
        "%2E",
        "a%2F",
        &unfinished,
    ];
    for name in elsewhere {
        // A client of HTTP would tidy up the path.
        let head = format!("POST /file/{name} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        let request = format!("{head}content-length: 1\r\n\r\nx");
        let answer = rest(&mut service.running.send(&request).await).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{name}: {answer}");
        assert!(
            answer.contains("application/problem+json"),
            "{name}: {answer}"
        );
    }
    let form = part("name=\"file\"; filename=\"../out\"", "x") + "--cut--\r\n";
    problem(service.form(&form).await, StatusCode::BAD_REQUEST).await;
    assert!(service.names().is_empty());
    assert_eq!(names(service.around.path()), ["uploads"]);
}

#[tokio::test]
async fn a_client_that_leaves_half_way_leaves_no_file_and_the_older_one_as_it_was() {
    let service = Service::start(PATIENCE).await;
    service.post("/file/note.txt", "the older one").await;
    drop(service.half("note.txt").await);
    eventually(|| service.names() == ["note.txt"]).await;
    assert_eq!(service.content("note.txt"), b"the older one");
    assert!(service.running.stop().await.is_clean());
}

#[tokio::test]
async fn a_body_over_the_limit_leaves_no_file() {
    let service = Service::start(PATIENCE).await;
    let chunk = || Ok::<_, std::io::Error>(vec![7; 64 << 10]);
    let body = Body::wrap_stream(stream::iter((0..=128).map(move |_| chunk())));
    // Who is told before it has sent all may not hear it.
    let request = Client::new().post(service.running.url("/file/large"));
    if let Ok(answer) = soon(request.body(body).send()).await {
        problem(answer, StatusCode::PAYLOAD_TOO_LARGE).await;
    }
    eventually(|| service.names().is_empty()).await;
    let mut whole = service
        .running
        .send(&format!(
            "POST /file/large HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            LONGEST + 1
        ))
        .await;
    whole.write_all(&vec![7; LONGEST + 1]).await.unwrap();
    let answer = rest(&mut whole).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(service.names().is_empty());
    service.post("/file/small", "x").await;
    assert_eq!(service.names(), ["small"]);
}

#[tokio::test]
async fn a_form_that_breaks_off_is_not_taken_for_a_whole_one() {
    let service = Service::start(PATIENCE).await;
    let form = part("name=\"file\"; filename=\"one\"", "1") + "--cut\r\ncontent-dispo";
    problem(service.form(&form).await, StatusCode::BAD_REQUEST).await;
    // What came as a whole is there.
    assert_eq!(service.names(), ["one"]);
    let form =
        "--cut\r\ncontent-disposition: form-data; name=\"file\"; filename=\"two\"\r\n\r\nhalf";
    problem(service.form(form).await, StatusCode::BAD_REQUEST).await;
    assert_eq!(service.names(), ["one"]);
}

#[tokio::test]
async fn an_upload_that_takes_too_long_is_a_504_and_leaves_no_file() {
    let service = Service::start(Duration::from_millis(500)).await;
    let mut upload = service.half("slow").await;
    let answer = rest(&mut upload).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    eventually(|| service.names().is_empty()).await;
    assert!(service.running.stop().await.is_clean());
}

#[tokio::test]
async fn an_upload_that_the_end_of_the_service_cuts_leaves_no_file() {
    let mut service = Service::start(PATIENCE).await;
    let uploads = Uploads {
        directory: service.directory(),
        longest: LONGEST,
    };
    let short = app(uploads, PATIENCE).shutdown_limit(Duration::from_secs(2));
    let cancelling = short.cancelling(Duration::from_millis(500));
    service.running = Running::start(cancelling).await;
    let mut upload = service.half("cut").await;
    let directory = service.directory();
    let report = service.running.stop().await;
    assert!(report.elapsed < Duration::from_secs(4), "{report:?}");
    let answer = rest(&mut upload).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(names(&directory).is_empty());
}

#[tokio::test]
async fn an_upload_is_finished_though_the_service_ends() {
    let service = Service::start(PATIENCE).await;
    let mut upload = service.half("late").await;
    service.running.close().await;
    upload.write_all(b" whole").await.unwrap();
    let answer = rest(&mut upload).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(service.content("late"), b"half whole");
    assert!(service.running.ended().await.is_clean());
}

#[tokio::test]
async fn what_a_process_has_left_that_was_killed_is_removed_at_the_start() {
    let around = tempfile::tempdir().unwrap();
    let uploads = Uploads {
        directory: around.path().to_owned(),
        longest: LONGEST,
    };
    let place = |name: &str| uploads.directory.join(name);
    fs::write(place(&format!("{UNFINISHED}12")), "half").unwrap();
    fs::write(place("note.txt"), "whole").unwrap();
    let running = Running::start(app(uploads.clone(), PATIENCE)).await;
    assert_eq!(names(around.path()), ["note.txt"]);
    running.stop().await;
}
