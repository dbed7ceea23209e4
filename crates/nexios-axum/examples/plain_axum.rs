//! Without `NexiosApp`: the request layer and the task routes in a service that axum serves and ends as before.

use std::time::Duration;

use axum::{Router, routing::post};
use nexios::{Background, CancelReason, CancelToken, Drain};
use nexios_axum::{BackgroundTasks, Problem, RequestLayer, task_routes};

async fn send(BackgroundTasks(tasks): BackgroundTasks) -> Result<String, Problem> {
    let task = tasks.spawn("newsletter", async |task| task.progress(3, 3))?;
    Ok(task.id().to_string())
}

pub(crate) fn router(background: &Background, end: &CancelToken) -> Router {
    let requests = RequestLayer::new()
        .deadline(Duration::from_secs(10))
        .background(background.clone())
        .shutdown(end.clone());
    Router::new()
        .route("/send", post(send))
        // Whoever reaches these may cancel: it listens for this machine alone. Elsewhere they need a listener of their own, or a
        // layer that asks who it is.
        .merge(task_routes(background.clone()))
        .layer(requests)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let (background, end) = (Background::new(), CancelToken::new());
    let router = router(&background, &end);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            let _ = tokio::signal::ctrl_c().await;
            end.cancel(CancelReason::Shutdown);
        })
        .await?;
    let (wait, cancel) = (Duration::from_secs(20), Duration::from_secs(3));
    background.drain(Drain { wait, cancel }).await;
    Ok(())
}
