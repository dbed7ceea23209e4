//! What plain axum does where the services here promise something: the examples do it, and their code does not show it. One
//! of these that turns red is good news, and a line less in `docs/compare.md`.

use std::{convert::Infallible, fs, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, ws::WebSocketUpgrade},
    http::Version,
    response::{Sse, sse::Event},
    routing::{any, get, post},
};
use futures_util::{FutureExt, StreamExt, stream};
use hyper_util::{client::legacy, rt::TokioExecutor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::running::{eventually, soon};

/// Longer than any end with nothing to do takes.
const A_WHILE: Duration = Duration::from_secs(1);

struct Plain {
    address: SocketAddr,
    end: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Plain {
    async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel();
        let serve = axum::serve(listener, router).with_graceful_shutdown(ended.map(drop));
        let served = tokio::spawn(async { serve.await.unwrap() });
        Plain {
            address,
            end,
            served,
        }
    }

    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }
}

/// Reads the first bytes of an answer.
async fn begins(stream: &mut TcpStream, with: &str) {
    let mut first = vec![0; with.len()];
    soon(stream.read_exact(&mut first)).await.unwrap();
    assert_eq!(String::from_utf8(first).unwrap(), with);
}

#[tokio::test]
async fn half_a_head_and_an_open_stream_hold_up_a_graceful_end() {
    let events = async || Sse::new(stream::pending::<Result<Event, Infallible>>());
    let router = || Router::new().route("/events", get(events));
    let idle = Plain::start(router()).await;
    idle.end.send(()).unwrap();
    timeout(A_WHILE * 10, idle.served).await.unwrap().unwrap();

    let plain = Plain::start(router()).await;
    let half = plain.send("GET / HTTP/1.1\r\nhos").await;
    sleep(Duration::from_millis(100)).await;
    plain.end.send(()).unwrap();
    assert!(timeout(A_WHILE, plain.served).await.is_err());
    drop(half);

    let plain = Plain::start(router()).await;
    let mut events = plain
        .send("GET /events HTTP/1.1\r\nhost: test\r\n\r\n")
        .await;
    begins(&mut events, "HTTP/1.1 200").await;
    plain.end.send(()).unwrap();
    assert!(timeout(A_WHILE, plain.served).await.is_err());
}

#[tokio::test]
async fn a_graceful_end_neither_tells_a_socket_nor_waits_for_it() {
    let chat = async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(|mut socket| async move { while socket.recv().await.is_some() {} })
    };
    let plain = Plain::start(Router::new().route("/ws", any(chat))).await;
    let url = format!("ws://{}/ws", plain.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    plain.end.send(()).unwrap();
    soon(plain.served).await.unwrap();
    assert!(timeout(A_WHILE, socket.next()).await.is_err());
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_half_a_file_in_the_place_of_a_whole_one() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("note.txt");
    fs::write(&place, "the older one").unwrap();
    let written = place.clone();
    let save = async move |request: Request| {
        let mut file = tokio::fs::File::create(written).await.unwrap();
        let mut body = request.into_body().into_data_stream();
        while let Some(Ok(bytes)) = body.next().await {
            file.write_all(&bytes).await.unwrap();
            file.flush().await.unwrap();
        }
    };
    let plain = Plain::start(Router::new().route("/file", post(save))).await;
    let head = "POST /file HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhalf";
    let upload = plain.send(head).await;
    eventually(|| fs::read_to_string(&place).unwrap() == "half").await;
    drop(upload);
    plain.end.send(()).unwrap();
    soon(plain.served).await.unwrap();
    assert_eq!(fs::read_to_string(&place).unwrap(), "half");
}

#[tokio::test]
async fn a_request_over_http_2_cannot_be_passed_on_as_it_is() {
    let behind = Plain::start(Router::new().route("/", get(async || "hello"))).await;
    let client: legacy::Client<_, Body> =
        legacy::Client::builder(TokioExecutor::new()).build_http();
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = format!("http://{}/", behind.address).parse().unwrap();
    *request.version_mut() = Version::HTTP_2;
    assert!(client.request(request).await.is_err());
}
