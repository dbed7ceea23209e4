//! Services on real sockets, and clients that can be rude.

use std::{future::IntoFuture, net::SocketAddr, time::Duration};

use axum::Router;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Serves a router with plain `axum::serve` on a loopback port until the test's runtime ends.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    crate::log::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

/// Sends text to a service, and leaves the connection to the test.
pub(crate) async fn send(address: SocketAddr, text: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(text.as_bytes()).await.unwrap();
    client
}

/// Sends a GET without a body.
pub(crate) async fn send_get(address: SocketAddr, path: &str) -> TcpStream {
    send(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await
}

/// Reads until `text` was there, and returns everything read.
pub(crate) async fn read_until(client: &mut TcpStream, text: &str) -> String {
    let reading = async {
        let mut read = String::new();
        while !read.contains(text) {
            let mut bytes = [0; 1_024];
            let count = client.read(&mut bytes).await.unwrap();
            assert_ne!(count, 0, "the connection ended after {read:?}");
            read.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        read
    };
    tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .expect("it never came")
}

/// Looks again and again, for at most 20 seconds, at what threads and sockets do in their own time.
pub(crate) async fn eventually<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking)
        .await
        .expect("it never happened")
}
