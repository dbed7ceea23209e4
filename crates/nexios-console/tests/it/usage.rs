//! How people write `nexios::observe` and `nexios-console`: every function here must compile against the real crates as they
//! stand (copy this file into the tests of `nexios-console`; it needs `nexios`, `nexios-axum`, `axum`, `tokio` and `tracing`
//! as dev-dependencies, and the feature `app`).
#![allow(dead_code)]

use std::{error::Error, sync::Arc};

use axum::{Router, http::request::Parts, routing::get};
use nexios::observe::{self, Observer, Observing, Outcome, Update, Work, WorkId, WorkKind};
use nexios_axum::NexiosApp;
use nexios_console::{Access, Console, Metrics};

async fn hello() -> &'static str {
    "hello"
}

/// A log of all work in 15 lines.
struct Log;
impl Observer for Log {
    fn made(&self, work: &Work<'_>) {
        tracing::info!(id = %work.id, parent = ?work.parent, kind = work.kind.as_str(), name = work.name, "made");
    }
    fn updated(&self, id: WorkId, update: &Update<'_>) {
        if let Update::Progress { done, total } = update {
            tracing::info!(%id, done, total, "progress");
        }
    }
    fn ended(&self, id: WorkId, outcome: &Outcome<'_>) {
        tracing::info!(%id, outcome = outcome.as_str(), "ended");
    }
}
fn log_everything() -> Observing {
    observe::observe(Arc::new(Log))
}

/// The page, below the service's own router, for development.
fn nested() -> Router {
    let console = Console::builder().loopback().allow_actions().build();
    Router::new()
        .route("/", get(hello))
        .nest("/nexios", console.router())
}

/// A listener of the page's own, with a password; it closes after the service has ended.
async fn on_its_own(secret: String) -> Result<(), Box<dyn Error + Send + Sync>> {
    let app = NexiosApp::new(Router::new().route("/", get(hello)));
    let console = Console::builder()
        .service("checkout")
        .basic_auth("ops", secret)
        .app(&app.handle())
        .build();
    let console = tokio::spawn(console.serve("0.0.0.0:9090"));
    app.serve("0.0.0.0:8080").await?;
    console.await??;
    Ok(())
}

/// Who may see and do what is the app's own rule.
fn by_rule() -> Console {
    Console::builder()
        .access(
            |parts: &Parts| match parts.headers.get("x-role").map(|role| role.as_bytes()) {
                Some(b"admin") => Access::Act,
                Some(b"support") => Access::View,
                _ => Access::Forbidden,
            },
        )
        .allow_actions()
        .build()
}

/// Prometheus alone.
fn metrics_alone() -> Router {
    let metrics = Metrics::new();
    Router::new().route("/", get(hello)).merge(metrics.router())
}

/// Work of one's own: what it starts hangs below it.
async fn render(page: u64) -> String {
    let work = observe::custom("render");
    work.update(&Update::Progress { done: 0, total: 1 });
    work.run(async move { format!("page {page}, part of {:?}", observe::current()) })
        .await
}

fn parse(text: &str) -> Result<u64, std::num::ParseIntError> {
    let work = observe::custom("parse");
    let number = work.scope(|| text.parse());
    work.end(if number.is_ok() {
        &Outcome::Completed
    } else {
        &Outcome::Failed(Some("no number"))
    });
    number
}

fn pools_that_are_behind() -> Vec<String> {
    let pools = observe::snapshot().pools.into_iter();
    pools
        .filter(|pool| pool.stats.queued > pool.stats.threads)
        .map(|pool| pool.name.into_owned())
        .collect()
}

fn everything_fits_together() {
    fn assert_send<T: Send>(_: T) {}
    fn assert_shared<T: Send + Sync + 'static>() {}
    assert_shared::<Observing>();
    assert_shared::<Console>();
    assert_shared::<Metrics>();
    assert_send(on_its_own(String::from("secret")));
    assert_send(render(1));
    let _kinds = [WorkKind::Request, WorkKind::PoolJob, WorkKind::Custom];
}
