//! The binary itself, as somebody starts and stops it.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use newsroom::prepare;
use reqwest::Url;
use tempfile::TempDir;

use crate::service::empty;

pub(crate) struct Running {
    process: Child,
    pub(crate) url: Url,
    folder: TempDir,
}

/// How the process ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    pub(crate) took: Duration,
    pub(crate) log: String,
    /// Its data outlives it.
    pub(crate) folder: TempDir,
}

/// Starts the service on small data, and reads the address it prints. It does not wait for load balancers.
pub(crate) fn start(arguments: &[&str]) -> Running {
    let (config, folder) = empty();
    prepare(&config).unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_newsroom"))
        .args(["--listen", "127.0.0.1:0", "--data", config.data.to_str().unwrap(), "--accepting", "0"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
    Running { process, url, folder }
}

impl Running {
    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let kill =
            Command::new("kill").args(["-s", signal, &self.process.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Sends a signal and waits for the end.
    pub(crate) async fn stop(self, signal: &str) -> End {
        self.signal(signal);
        self.ended().await
    }

    /// Waits for the end, on a thread: the servers of the test go on.
    pub(crate) async fn ended(mut self) -> End {
        let waiting = move || {
            let begun = Instant::now();
            let mut log = String::new();
            self.process.stderr.take().unwrap().read_to_string(&mut log).unwrap();
            let code = self.process.wait().unwrap().code();
            End { code, took: begun.elapsed(), log, folder: self.folder }
        };
        tokio::task::spawn_blocking(waiting).await.unwrap()
    }
}

pub(crate) async fn get(url: &Url, path: &str) -> reqwest::Response {
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
    running.stop("TERM").await;
}

#[tokio::test]
async fn the_daily_reset_is_a_background_task_that_the_status_shows() {
    let running = start(&[]);
    let status: serde_json::Value = get(&running.url, "/tasks/status").await.json().await.unwrap();
    assert_eq!(status["active_tasks"], 1, "{status}");
    assert_eq!(status["tasks"][0]["name"], "refresh analytics at midnight");
    assert_eq!(status["tasks"][0]["state"], "running");
    running.stop("TERM").await;
}

#[tokio::test]
async fn ctrl_c_and_sigterm_stop_it_cleanly() {
    for (signal, name) in [("INT", "SIGINT"), ("TERM", "SIGTERM")] {
        let running = start(&[]);
        assert_eq!(get(&running.url, "/readyz").await.text().await.unwrap(), "ready");
        assert_eq!(get(&running.url, "/tasks/status").await.status(), 200);
        let end = running.stop(signal).await;
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(end.log.contains("stopped") && end.log.contains(name), "{end:?}");
        // The schedule heard of it and ended by itself.
        assert!(end.log.contains("refresh analytics at midnight"), "{end:?}");
    }
}

#[tokio::test]
async fn a_json_log_is_json_in_every_line() {
    let running = start(&["--log", "json"]);
    get(&running.url, "/search?q=rust").await;
    let log = running.stop("TERM").await.log;
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
    for flag in ["--listen", "--data", "--upstream", "--smtp-url", "--accepting", "--shutdown-limit", "--log"]
    {
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
