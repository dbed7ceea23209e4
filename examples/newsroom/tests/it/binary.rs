//! The binary itself, as somebody starts and stops it.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use newsroom::prepare;
use reqwest::Url;
use tempfile::TempDir;

use crate::{
    config::SETTINGS,
    service::{empty, eventually},
    shutdown::{newsletter, post_letter},
};

/// The file of the log, in the folder of the service.
const LOG: &str = "log";

pub(crate) struct Running {
    process: Guarded,
    pub(crate) url: Url,
    folder: TempDir,
}

/// A process that does not outlive its test, however that ends.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It has ended, if the test has gone well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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
    let log = kept_log(folder.path());
    start_in(folder, log, arguments)
}

/// Where a log goes that is read at the end. A file: a pipe that nobody reads is full after some hundred requests, and holds the
/// service up.
pub(crate) fn kept_log(folder: &Path) -> Stdio {
    File::create(folder.join(LOG)).unwrap().into()
}

/// Starts it on data that is there, and with its log going where the test wants it.
pub(crate) fn start_in(folder: TempDir, log: Stdio, arguments: &[&str]) -> Running {
    let mut command = command(&folder.path().join("data"));
    command.args(arguments);
    spawn(command, folder, log)
}

/// Starts it on what an earlier one has left.
pub(crate) fn start_again(end: End, arguments: &[&str]) -> Running {
    let log = kept_log(end.folder.path());
    start_in(end.folder, log, arguments)
}

fn spawn(mut command: Command, folder: TempDir, log: Stdio) -> Running {
    let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let url = line
        .trim()
        .strip_prefix("listening on ")
        .expect(&line)
        .parse()
        .unwrap();
    Running {
        process: Guarded(process),
        url,
        folder,
    }
}

/// The service on a port of the system's choice.
pub(crate) fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_newsroom"));
    command
        .env("NEWSROOM_LISTEN", "127.0.0.1:0")
        .env("NEWSROOM_ACCEPTING", "0")
        .env_remove("NEWSROOM_CONSOLE_SECRET")
        .arg("--data")
        .arg(data);
    command
}

/// How a start ends that has to fail.
pub(crate) fn refused(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    assert_eq!(output.stdout, b"", "it does not say that it listens");
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

impl Running {
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// Nobody reads the log any more.
    pub(crate) fn close_log(&mut self) {
        drop(self.process.0.stderr.take());
    }

    pub(crate) fn signal(&self, signal: &str) {
        let kill = Command::new("kill")
            .args(["-s", signal, &self.process.0.id().to_string()])
            .status()
            .unwrap();
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
            drop(self.process.0.stderr.take());
            let code = self.process.0.wait().unwrap().code();
            // None if the log has gone elsewhere.
            let log = fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
            End {
                code,
                took: begun.elapsed(),
                log,
                folder: self.folder,
            }
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
    assert_eq!(
        dashboard.json::<serde_json::Value>().await.unwrap()["user"]["id"],
        7
    );
    running.stop("TERM").await;
}

#[tokio::test]
async fn the_daily_reset_is_a_background_task_that_the_status_shows() {
    let running = start(&[]);
    let status: serde_json::Value = get(&running.url, "/tasks/status")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(status["active_tasks"], 1, "{status}");
    assert_eq!(status["tasks"][0]["name"], "refresh analytics at midnight");
    assert_eq!(status["tasks"][0]["state"], "running");
    running.stop("TERM").await;
}

#[tokio::test]
async fn ctrl_c_and_sigterm_stop_it_cleanly() {
    for (signal, name) in [("INT", "SIGINT"), ("TERM", "SIGTERM")] {
        let running = start(&[]);
        assert_eq!(
            get(&running.url, "/readyz").await.text().await.unwrap(),
            "ready"
        );
        assert_eq!(get(&running.url, "/tasks/status").await.status(), 200);
        let end = running.stop(signal).await;
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(
            end.log.contains("stopped") && end.log.contains(name),
            "{end:?}"
        );
        // The schedule heard of it and ended by itself.
        assert!(end.log.contains("refresh analytics at midnight"), "{end:?}");
    }
}

#[tokio::test]
async fn a_json_log_is_json_in_every_line_with_numbers_as_numbers() {
    let running = start(&["--log", "json"]);
    get(&running.url, "/search?q=rust").await;
    post_letter(&running).await;
    eventually(async || (newsletter(&running).await["state"] == "completed").then_some(())).await;
    let log = running.stop("TERM").await.log;
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    for line in &lines {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
    }
    let line = |message: &str| {
        lines
            .iter()
            .find(|line| line["message"] == message)
            .expect(&log)
    };
    assert_eq!(line("answered")["status"], 200);
    assert_eq!(line("answered")["span"]["path"], "/search");
    let sent = line("newsletter sent");
    let counts =
        ["sent", "failed", "in_doubt", "left"].map(|count| sent[count].as_u64().expect(&log));
    assert_eq!(counts, [12, 0, 0, 0], "{log}");
}

#[test]
fn help_tells_every_setting_and_no_password_of_the_environment() {
    for help in ["--help", "-h"] {
        let output = Command::new(env!("CARGO_BIN_EXE_newsroom"))
            .arg(help)
            .env("NEWSROOM_SMTP_URL", "smtp://ada:letmein@localhost")
            .env("NEWSROOM_UPSTREAM", "http://ada:letmein@localhost")
            .output();
        let help = String::from_utf8(output.unwrap().stdout).unwrap();
        for flag in SETTINGS {
            assert!(help.contains(&format!("--{flag}")), "{flag}: {help}");
        }
        assert!(help.contains("--play"), "{help}");
        assert!(!help.contains("letmein"), "{help}");
    }
}

/// By flag or by the environment, said once and on its own: no password, no half of a start.
#[test]
fn a_setting_that_cannot_be_used_is_refused_with_what_would_be_right() {
    let data = tempfile::tempdir().unwrap();
    for (setting, value, right) in [
        ("listen", "localhost", "localhost:8080"),
        ("listen", ":8080", "0.0.0.0:8080"),
        ("listen", "::1:8080", "[::1]:8080"),
        ("listen", "localhost:http", "localhost:8080"),
        ("listen", "localhost:80800", "from 0 to 65535"),
        ("listen", "http://localhost:8080", "localhost:8080"),
        ("upstream", "ftp://localhost", "http://host:port"),
        ("upstream", "https://localhost", "http://host:port"),
        ("upstream", "localhost:9000", "http://host:port"),
        (
            "upstream",
            "http://ada:letmein@localhost",
            "without a login",
        ),
        (
            "upstream",
            "http://localhost?key=letmein",
            "http://host:port",
        ),
        ("upstream", "http://", "http://host:port"),
        (
            "smtp-url",
            "smtp://ada@localhost",
            "smtp://user:password@host:port",
        ),
        (
            "smtp-url",
            "smtp://:letmein@localhost",
            "smtp://user:password@host:port",
        ),
        ("smtp-url", "smtps://ada:letmein@localhost", "no TLS"),
        (
            "smtp-url",
            "http://ada:letmein@localhost",
            "smtp://host:port",
        ),
        (
            "smtp-url",
            "smtp://ada:letmein@localhost:99999",
            "smtp://host:port",
        ),
        (
            "smtp-url",
            "smtp://ada:letmein@localhost?tls=required",
            "smtp://host:port",
        ),
        ("jobs", "mysql://ada:letmein@localhost", "sqlite:FILE"),
        ("jobs", "jobs.db", "sqlite:FILE"),
        ("smtp-limit", "0", "no time"),
        ("smtp-limit", "soon", "such as 2"),
        ("smtp-retry-after", "-1", "such as 2"),
        ("accepting", "1e30", "such as 2"),
        ("accepting", "NaN", "such as 2"),
        ("shutdown-limit", "1e18", "such as 2"),
        ("shutdown-limit", "", "such as 2"),
        ("log", "xml", "text, json"),
        ("console", "everybody", "off, loopback or basic"),
        ("console", "basic", "NEWSROOM_CONSOLE_SECRET"),
    ] {
        let (mut by_flag, mut by_variable) = (command(data.path()), command(data.path()));
        by_flag.arg(format!("--{setting}={value}"));
        by_variable.env(
            format!("NEWSROOM_{}", setting.to_uppercase().replace('-', "_")),
            value,
        );
        for command in [by_flag, by_variable] {
            let (code, said) = refused(command);
            assert_eq!(code, Some(2), "{setting}={value}: {said}");
            assert!(
                said.contains(right) && said.contains(setting),
                "{setting}={value}: {said}"
            );
            assert_eq!(
                said.matches("error: ").count(),
                1,
                "{setting}={value}: {said}"
            );
            assert!(!said.contains("letmein"), "{setting}={value}: {said}");
        }
    }
    assert_eq!(
        std::fs::read_dir(data.path()).unwrap().count(),
        0,
        "nothing was begun"
    );
}

#[test]
fn an_empty_password_is_none() {
    let data = tempfile::tempdir().unwrap();
    let mut command = command(data.path());
    command
        .args(["--console", "basic"])
        .env("NEWSROOM_CONSOLE_SECRET", "");
    let (code, said) = refused(command);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("NEWSROOM_CONSOLE_SECRET"), "{said}");
}

#[tokio::test]
async fn the_password_of_the_console_is_taken_from_the_environment() {
    let (config, folder) = empty();
    prepare(&config).unwrap();
    let mut command = command(&config.data);
    command
        .env("NEWSROOM_CONSOLE", "basic")
        .env("NEWSROOM_CONSOLE_SECRET", "letmein");
    let log = kept_log(folder.path());
    let running = spawn(command, folder, log);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let console = client.get(running.url.join("/nexios").unwrap());
    let with = console
        .try_clone()
        .unwrap()
        .basic_auth("newsroom", Some("letmein"));
    assert_eq!(with.send().await.unwrap().status(), 200);
    assert_eq!(console.send().await.unwrap().status(), 401);
    let log = running.stop("TERM").await.log;
    assert!(!log.contains("letmein"), "{log}");
}

#[tokio::test]
async fn a_host_name_can_be_listened_on() {
    let running = start(&["--listen", "localhost:0"]);
    assert_eq!(get(&running.url, "/livez").await.status(), 200);
    let end = running.stop("TERM").await;
    assert_eq!(end.code, Some(0), "{end:?}");
}

#[test]
fn a_log_filter_that_cannot_be_read_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let mut command = command(data.path());
    command.env("RUST_LOG", "info,newsroom=loud");
    let (code, said) = refused(command);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("RUST_LOG") && said.contains("info,nexios=debug"),
        "{said}"
    );
}

#[test]
fn a_port_in_use_is_an_error_that_names_it_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_newsroom"));
    command.args(["--listen", &address]);
    let (code, said) = refused(command);
    assert_eq!(
        (code, said.matches(&address).count()),
        (Some(1), 1),
        "{said}"
    );
}
