//! The demo service: `cargo run --release -p newsroom`, then open the address it prints.

use std::{future::IntoFuture, io::Write, net::Ipv4Addr, time::Duration};

use anyhow::{Context, bail};
use axum::Router;
use clap::Parser;
use newsroom::{Config, Newsroom, StopSignals};
use nexios::{CancelReason, CancelToken, run_in_threadpool};
use reqwest::Url;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

/// How long requests may go on after the signal to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut config = Config::parse();
    newsroom::init_logging(config.log)?;
    // Before the data is made: a port in use is known at once.
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;

    let preparing = config.clone();
    for line in run_in_threadpool(move || newsroom::prepare(&preparing)).await? {
        tracing::info!("{line}");
    }

    if config.upstream.is_none() {
        config.upstream = Some(serve_upstream(&config).await?);
    }
    // Before anybody can know that the service is there.
    let mut signals = StopSignals::listen()?;
    let newsroom = Newsroom::new(&config);
    newsroom.refresh_analytics_daily();
    let address = listener.local_addr()?;
    let stop = CancelToken::new();
    let server = serve(listener, newsroom::router(newsroom), stop.clone());
    writeln!(std::io::stdout(), "listening on http://{address}")?;

    let signal = signals.next().await;
    tracing::info!("{signal}: stopping; once more stops at once");
    stop.cancel(CancelReason::Shutdown);
    tokio::select! {
        () = wind_down(server) => Ok(()),
        again = signals.next() => bail!("{again} again: stopped with work left undone"),
    }
}

/// Serves the API behind the dashboard on a loopback port until the process ends, and returns its address.
async fn serve_upstream(config: &Config) -> anyhow::Result<Url> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
    tokio::spawn(axum::serve(listener, newsroom::upstream(config)).into_future());
    tracing::info!(%url, "upstream");
    Ok(url)
}

/// Serves until told to stop; then nobody new is let in, and who is in is answered.
fn serve(listener: TcpListener, router: Router, stop: CancelToken) -> JoinHandle<std::io::Result<()>> {
    let stopped = async move {
        stop.cancelled().await;
    };
    tokio::spawn(axum::serve(listener, router).with_graceful_shutdown(stopped).into_future())
}

async fn wind_down(server: JoinHandle<std::io::Result<()>>) {
    if timeout(LAST_REQUESTS, server).await.is_err() {
        tracing::warn!("some requests did not end in {LAST_REQUESTS:?}");
    }
    newsroom::drain_background().await;
}
