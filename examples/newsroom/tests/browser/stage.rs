//! The service that is looked at.

use std::future::IntoFuture;

use clap::Parser;
use newsroom::{Config, ConsoleAccess, Newsroom, Sizes, prepare, service, upstream};
use nexios::{Background, TaskContext};
use reqwest::Client;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{Mutex, MutexGuard, watch},
};

/// Observers see all of the process, so there is one service at a time.
static TURN: Mutex<()> = Mutex::const_new(());

pub(crate) const SMALL: Sizes = Sizes {
    rows: 3_650,
    users: 10,
    articles: 200,
    subscribers: 12,
};

/// The newsroom with its upstream, on real ports and small data.
pub(crate) struct Stage {
    /// `http://127.0.0.1:` and a port.
    pub(crate) address: String,
    pub(crate) http: Client,
    _folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Stage::with(ConsoleAccess::Loopback).await
    }

    pub(crate) async fn with(console: ConsoleAccess) -> Self {
        let turn = TURN.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::parse_from(["newsroom"]);
        config.data = folder.path().join("data");
        config.sizes = SMALL;
        config.console = console;
        prepare(&config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        config.upstream = Some(url.parse().unwrap());
        tokio::spawn(axum::serve(listener, upstream(&config)).into_future());

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        config.listen = listener.local_addr().unwrap().to_string();
        let app = service(Newsroom::new(&config), &config).without_signals();
        let life = app.handle();
        tokio::spawn(app.serve(listener));
        life.ready().await.unwrap();
        Stage {
            address: format!("http://{}", config.listen),
            http: Client::builder().no_proxy().build().unwrap(),
            _folder: folder,
            _turn: turn,
        }
    }

    /// The address of a page of the console, such as `/pools`.
    pub(crate) fn console(&self, page: &str) -> String {
        format!("{}/nexios{page}", self.address)
    }

    /// Asks the service, and returns the status of its answer.
    pub(crate) async fn ask(&self, path: &str) -> u16 {
        let answer = self.http.get(format!("{}{path}", self.address));
        answer.send().await.unwrap().status().as_u16()
    }
}

/// A background task that goes as far as the test lets it, and ends with this.
pub(crate) struct Held {
    pub(crate) id: u64,
    goes_on: watch::Sender<u64>,
}

impl Held {
    /// It has four steps, and has done none.
    pub(crate) fn task(name: &'static str) -> Self {
        let (goes_on, mut steps) = watch::channel(0);
        let task = Background::global().spawn(name, async move |task: TaskContext| {
            loop {
                task.progress(*steps.borrow_and_update(), 4);
                tokio::select! {
                    _ = task.cancelled() => break,
                    changed = steps.changed() => if changed.is_err() { break },
                }
            }
        });
        let Ok(task) = task else {
            panic!("{name}: refused");
        };
        Held {
            id: task.id().0,
            goes_on,
        }
    }

    pub(crate) fn has_done(&self, steps: u64) {
        self.goes_on.send_replace(steps);
    }
}
