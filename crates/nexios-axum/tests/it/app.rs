//! A service on real sockets, and a client that writes its bytes by hand.

mod admin;
mod background;
mod busy;
mod clients;
mod connections;
mod crowd;
mod http2;
mod http2_sockets;
mod listeners;
mod outer;
mod panics;
mod progress;
mod services;
mod shutdown;
mod start;
mod stop_on;
mod stuck;
mod unread;
mod unwritable_log;

use std::{future::Future, net::SocketAddr, time::Duration};

use axum::Router;
use nexios::Background;
use nexios_axum::{AppHandle, NexiosApp, ServeError, ShutdownReport};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

/// Far longer than anything here takes, and shorter than anybody's patience.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it never happened")
}

/// Looks again and again until there is something to see.
pub(crate) async fn eventually<T>(look: impl AsyncFn() -> Option<T>) -> T {
    soon(async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A service with short limits, and a registry of its own: the global one can be drained only once.
///
/// In all 2 s: nothing for still accepting, 1,500 ms undisturbed, 300 ms cancelling, 200 ms for hooks.
pub(crate) fn app(router: Router) -> NexiosApp {
    NexiosApp::new(router)
        .background(Background::new())
        .without_signals()
        .accepting(Duration::ZERO)
        .shutdown_limit(ms(2_000))
        .cancelling(ms(300))
        .hooks_limit(ms(200))
}

pub(crate) struct Running {
    pub(crate) handle: AppHandle,
    pub(crate) address: SocketAddr,
    service: JoinHandle<Result<ShutdownReport, ServeError>>,
}

pub(crate) async fn start(app: NexiosApp) -> Running {
    let handle = app.handle();
    let service = tokio::spawn(app.serve("127.0.0.1:0"));
    let address = soon(handle.ready()).await.unwrap().tcp().unwrap();
    Running {
        handle,
        address,
        service,
    }
}

impl Running {
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Waits for the end.
    pub(crate) async fn ended(self) -> ShutdownReport {
        soon(self.service).await.unwrap().unwrap()
    }

    pub(crate) async fn stop(self) -> ShutdownReport {
        self.handle.stop();
        self.ended().await
    }

    /// Drops the future of the service.
    pub(crate) async fn abort(self) {
        self.service.abort();
        assert!(soon(self.service).await.unwrap_err().is_cancelled());
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// What was read and not asked for yet.
    read: Vec<u8>,
}

/// An answer with a length.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn says_close(&self) -> bool {
        self.head.to_lowercase().contains("connection: close")
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Client {
            stream: soon(TcpStream::connect(address)).await.unwrap(),
            read: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        soon(self.stream.write_all(text.as_bytes())).await.unwrap();
    }

    /// Begins a GET and does not wait for the answer.
    pub(crate) async fn begin(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"))
            .await;
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        self.begin(path).await;
        self.reply().await
    }

    /// Reads until `end` and returns everything before it.
    pub(crate) async fn until(&mut self, end: &[u8]) -> String {
        soon(async {
            loop {
                if let Some(at) = self
                    .read
                    .windows(end.len())
                    .position(|window| window == end)
                {
                    let text = String::from_utf8_lossy(&self.read[..at]).into_owned();
                    self.read.drain(..at + end.len());
                    return text;
                }
                assert!(
                    self.more().await,
                    "the connection ended with {:?}",
                    self.read
                );
            }
        })
        .await
    }

    async fn more(&mut self) -> bool {
        // A reset is an end as well.
        self.stream.read_buf(&mut self.read).await.unwrap_or(0) > 0
    }

    pub(crate) async fn reply(&mut self) -> Reply {
        let head = self.until(b"\r\n\r\n").await;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let lower = head.to_lowercase();
        let length = lower.split("content-length: ").nth(1).expect(&head);
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        soon(async {
            while self.read.len() < length {
                assert!(self.more().await, "the body is cut short");
            }
        })
        .await;
        let body = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        Reply { status, head, body }
    }

    /// Reads until the server closes the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        soon(async { while self.more().await {} }).await;
        std::mem::take(&mut self.read)
    }
}
