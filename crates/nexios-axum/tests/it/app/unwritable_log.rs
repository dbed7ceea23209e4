//! A log that panics with every line costs its lines and nothing else. tracing-subscriber's does so when standard
//! error cannot be written.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, routing::get};
use nexios::{Background, CancelReason, CancelToken};
use nexios_axum::{NexiosApp, Phase, ServeError, ServiceLife};
use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

use super::{Client, app, eventually, ms, soon, start};

/// Panics with every event and whenever a span is entered, left or closed.
struct Unwritable(Arc<AtomicUsize>);

impl Unwritable {
    fn panic(&self) -> ! {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("failed printing to stderr");
    }
}

impl Subscriber for Unwritable {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("nexios_axum")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.panic();
    }

    fn enter(&self, _: &Id) {
        self.panic();
    }

    fn exit(&self, _: &Id) {
        self.panic();
    }

    fn try_close(&self, _: Id) -> bool {
        self.panic();
    }
}

/// For what this thread does until the guard is dropped: the runtimes of these tests have no other.
fn unwritable() -> (Arc<AtomicUsize>, tracing::subscriber::DefaultGuard) {
    let panics = Arc::new(AtomicUsize::new(0));
    (
        panics.clone(),
        tracing::subscriber::set_default(Unwritable(panics)),
    )
}

#[tokio::test]
async fn requests_are_answered_and_the_end_comes_in_order_without_a_log() {
    let (panics, _log) = unwritable();
    let background = Background::new();
    let (tasks, closing) = (background.clone(), CancelToken::new());
    let begun = closing.clone();
    let work = async move || {
        drop(tasks.spawn("import", |_| async move { begun.cancelled().await }));
        "started"
    };
    let router = Router::new()
        .route("/work", get(work))
        .route("/broken", get(async || -> &'static str { panic!("a bug") }));
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let app = NexiosApp::new(router)
        .background(background)
        .without_signals()
        .accepting(ms(10))
        .shutdown_limit(ms(1_500))
        .cancelling(ms(300))
        .hooks_limit(ms(200))
        .on_startup("warm up", async || {})
        .on_listening(|_| panic!("failed printing to stdout"))
        .stop_on(async {
            ended.await.unwrap();
            panic!("a bug")
        })
        .on_shutdown("flush", async || Err::<(), _>("disk full"))
        .on_shutdown("hang", pending::<()>);
    let handle = app.handle();
    let service = tokio::spawn(app.serve("127.0.0.1:0"));
    let address = soon(handle.ready()).await.unwrap().tcp().unwrap();
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("/work").await.body, "started");
    assert_eq!(client.get("/broken").await.status, 500);
    end.send(()).unwrap();
    soon(handle.reached(Phase::Closing)).await;
    closing.cancel(CancelReason::Requested);
    let report = soon(service).await.unwrap().unwrap();
    assert_eq!(
        report.abandoned,
        ["shutdown hook flush", "shutdown hook hang"]
    );
    assert_eq!(report.completed, ["import"]);
    assert!(panics.load(Ordering::Relaxed) >= 6, "{panics:?}");
}

#[tokio::test]
async fn no_connection_is_lost_with_its_line() {
    let (panics, _log) = unwritable();
    let router = Router::new()
        .route("/", get(async || "hello"))
        .route("/broken", get(async || -> &'static str { panic!("a bug") }))
        .route("/stuck", get(pending::<&str>))
        .route(
            "/socket",
            get(async |life: ServiceLife| {
                tokio::spawn(life.track("feed").run(|_| pending()));
                "started"
            }),
        );
    let running = start(app(router).connections(2)).await;
    let mut client = running.client().await;
    for (path, status) in [
        ("/", 200),
        ("/broken", 500),
        ("/", 200),
        ("/socket", 200),
        ("/nowhere", 404),
    ] {
        assert_eq!(client.get(path).await.status, status, "{path}");
    }
    // Clients that leave, with a request under way, and one beyond the limit.
    let mut leaves = running.client().await;
    leaves.begin("/stuck").await;
    tokio::time::sleep(ms(50)).await;
    client.begin("/stuck").await;
    tokio::time::sleep(ms(50)).await;
    assert_eq!(running.client().await.get("/livez").await.status, 200);
    drop(leaves);
    eventually(async || (running.handle.connections() <= 1).then_some(())).await;
    let stopping = tokio::spawn(running.stop());
    assert_eq!(client.reply().await.status, 503);
    let report = stopping.await.unwrap();
    assert!(
        report.abandoned.contains(&"socket feed".to_owned()),
        "{report:?}"
    );
    assert!(panics.load(Ordering::Relaxed) >= 10, "{panics:?}");
}

#[tokio::test]
async fn a_start_that_fails_says_so_without_a_log() {
    let (_, _log) = unwritable();
    let error = soon(
        app(Router::new())
            .on_startup("open", async || Err::<(), _>("away"))
            .serve("127.0.0.1:0"),
    )
    .await;
    assert!(matches!(error.unwrap_err(), ServeError::Startup { .. }));
}
