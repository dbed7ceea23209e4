//! The service on small data in a folder of its own.

use std::{future::IntoFuture, net::SocketAddr, path::PathBuf, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, header::CONTENT_TYPE},
};
use clap::Parser;
use newsroom::{Config, Sizes, app, prepare, upstream};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tower::ServiceExt;

use crate::{answer::Answer, database::Database};

pub(crate) const SMALL: Sizes = Sizes {
    rows: 3_650,
    users: 10,
    articles: 200,
    subscribers: 12,
};

pub(crate) struct Service {
    pub(crate) config: Config,
    pub(crate) app: Router,
    _folder: TempDir,
}

/// Settings on an empty folder.
pub(crate) fn empty() -> (Config, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::parse_from(["newsroom"]);
    config.data = folder.path().join("data");
    config.sizes = SMALL;
    (config, folder)
}

impl Service {
    pub(crate) fn new() -> Self {
        Service::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        crate::log::start();
        let (mut config, folder) = empty();
        prepare(&config).unwrap();
        change(&mut config);
        Service {
            app: app(&config),
            config,
            _folder: folder,
        }
    }

    /// Serves the upstream of the service on a real port.
    pub(crate) async fn with_upstream() -> Self {
        let mut service = Service::new();
        let upstream = serve(upstream(&service.config)).await;
        service.config.upstream = Some(url(upstream));
        service.app = app(&service.config);
        service
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::read(self.app.clone().oneshot(request).await.unwrap()).await
    }

    pub(crate) async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body(Body::empty()).unwrap())
            .await
    }

    pub(crate) async fn post(
        &self,
        uri: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> Answer {
        let request = Request::post(uri)
            .header(CONTENT_TYPE, content_type)
            .body(body.into())
            .unwrap();
        self.send(request).await
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.config.data.join(name)
    }

    pub(crate) fn database(&self) -> Database {
        Database::open(self.path("newsroom.db"))
    }

    /// Where newsletters are.
    pub(crate) fn jobs(&self) -> Database {
        Database::open(self.path("jobs.db"))
    }

    /// Waits until a background task or a job has ended, and returns it.
    pub(crate) async fn ended(&self, task: impl AsRef<str>) -> Value {
        let task = format!("/tasks/{}", task.as_ref());
        let running = |task: &Value| task["state"] == "running" || task["state"] == "queued";
        eventually(async || Some(self.get(&task).await.ok(200)).filter(|task| !running(task))).await
    }
}

/// Serves a router on a loopback port until the test's runtime ends.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

pub(crate) fn url(address: SocketAddr) -> reqwest::Url {
    format!("http://{address}").parse().unwrap()
}

/// Looks again and again, for at most 20 seconds, at what threads and sockets do in their own time.
pub(crate) async fn eventually<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking)
        .await
        .expect("it never happened")
}
