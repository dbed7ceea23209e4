//! The binary itself, as somebody starts and stops it.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use newsroom::prepare;
use reqwest::Url;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{
    mail_server::MailServer,
    service::{empty, eventually},
};

struct Running {
    process: Child,
    url: Url,
    _folder: TempDir,
}

/// Starts the service on small data, and reads the address it prints.
fn start(arguments: &[&str]) -> Running {
    let (config, folder) = empty();
    prepare(&config).unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_newsroom"))
        .args(["--listen", "127.0.0.1:0", "--data", config.data.to_str().unwrap()])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
    Running { process, url, _folder: folder }
}

impl Running {
    fn signal(&self, signal: &str) {
        let kill =
            Command::new("kill").args(["-s", signal, &self.process.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Sends a signal, and returns whether the process ended well and what it logged.
    fn stop(mut self, signal: &str) -> (bool, String) {
        self.signal(signal);
        let mut log = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.process.wait().unwrap().success(), log)
    }
}

async fn get(url: &Url, path: &str) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(url.join(path).unwrap()).send().await.unwrap()
}

#[tokio::test]
async fn port_0_prints_the_real_address_and_the_service_brings_its_own_upstream() {
    let running = start(&[]);
    assert_ne!(running.url.port(), Some(0));
    assert_eq!(get(&running.url, "/").await.status(), 200);
    let dashboard = get(&running.url, "/dashboard?user_id=7").await;
    assert_eq!(dashboard.status(), 200);
    assert_eq!(dashboard.json::<serde_json::Value>().await.unwrap()["user"]["id"], 7);
    running.stop("TERM");
}

#[tokio::test]
async fn the_daily_reset_is_a_background_task_that_the_status_shows() {
    let running = start(&[]);
    let status: serde_json::Value = get(&running.url, "/tasks/status").await.json().await.unwrap();
    assert_eq!(status["active_tasks"], 1, "{status}");
    assert_eq!(status["tasks"][0]["name"], "refresh analytics every 24 h");
    assert_eq!(status["tasks"][0]["state"], "running");
    running.stop("TERM");
}

#[tokio::test]
async fn ctrl_c_and_sigterm_stop_it_cleanly() {
    for signal in ["INT", "TERM"] {
        let running = start(&[]);
        assert_eq!(get(&running.url, "/tasks/status").await.status(), 200);
        let (good, log) = running.stop(signal);
        assert!(good, "{signal}: {log}");
        assert!(log.contains("background tasks ended"), "{signal}: {log}");
    }
}

#[tokio::test]
async fn a_second_signal_stops_at_once_and_is_no_success() {
    let mail_server = MailServer::start(|_| {
        std::thread::sleep(Duration::from_millis(500));
        false
    });
    let running = start(&["--smtp-url", &mail_server.await.url()]);
    let letter = json!({ "subject": "slow", "body": "twelve mails of half a second" });
    let newsletter = reqwest::Client::builder().no_proxy().build().unwrap();
    let newsletter = newsletter.post(running.url.join("send-newsletter").unwrap()).json(&letter);
    assert_eq!(newsletter.send().await.unwrap().status(), 202);

    running.signal("INT");
    let address = running.url.socket_addrs(|| None).unwrap()[0];
    eventually(async || TcpStream::connect(address).await.is_err().then_some(())).await;
    let begun = Instant::now();
    let (good, log) = running.stop("INT");
    assert!(!good, "{log}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{log}");
    assert!(log.contains("Ctrl-C again"), "{log}");
}

#[tokio::test]
async fn a_json_log_is_json_in_every_line() {
    let running = start(&["--log", "json"]);
    get(&running.url, "/search?q=rust").await;
    let (_, log) = running.stop("TERM");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let answered = lines.iter().find(|line| line["message"] == "answered").expect(&log);
    assert_eq!(answered["status"], 200);
    assert_eq!(answered["span"]["path"], "/search");
}

#[test]
fn help_tells_every_setting() {
    let help = Command::new(env!("CARGO_BIN_EXE_newsroom")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for flag in ["--listen", "--data", "--upstream", "--smtp-url", "--log"] {
        assert!(help.contains(flag), "{help}");
    }
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_newsroom")).args(["--listen", &address]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains(&address));
}
