//! The demo service: `cargo run --release -p newsroom`, then open the address it prints.

use std::{
    future::IntoFuture,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
};

use anyhow::{Context, Error};
use clap::Parser;
use newsroom::{Config, Newsroom, OwnFolder};
use nexios_axum::{AppHandle, Phase, ShutdownReport};
use reqwest::Url;
use tokio::net::TcpListener;

fn main() -> ExitCode {
    nexios_axum::run(serve(Config::parse()))
}

async fn serve(mut config: Config) -> anyhow::Result<ShutdownReport> {
    newsroom::init_logging(config.log)?;
    // Bound before the data is made: a port in use is known at once.
    let listen = config.listen.as_str();
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("listening on {listen}"))?;
    // Who may ask depends on the address, and a name does not tell it.
    let address = listener.local_addr()?;
    config.listen = address.to_string();
    // Until the service has ended.
    let _own = OwnFolder::take(&config.data)?;
    if config.upstream.is_none() {
        config.upstream = Some(serve_upstream(&config).await?);
    }
    let service = newsroom::service(Newsroom::new(&config), &config).on_listening(|address| {
        // Who started it may have closed its output.
        let _ = writeln!(std::io::stdout(), "listening on {address}");
    });
    if config.play {
        tokio::spawn(play_until_the_end(address, service.handle()));
    }
    // The message alone: it has its causes in it, and their chain would say them again.
    service.serve(listener).await.map_err(Error::msg)
}

/// What has been begun in the scene goes with it: the service does not wait for it.
async fn play_until_the_end(address: SocketAddr, life: AppHandle) {
    if life.ready().await.is_none() {
        return;
    }
    tokio::select! {
        () = life.reached(Phase::Draining) => {}
        () = newsroom::play(address) => {}
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
