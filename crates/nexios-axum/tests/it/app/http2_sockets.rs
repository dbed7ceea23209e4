//! Streams of HTTP/2 that have become something else, as WebSockets do (RFC 8441): their connection carries them on.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{Method, Version},
    routing::any,
};
use h2::{RecvStream, SendStream, client::SendRequest, ext::Protocol};
use hyper_util::rt::TokioIo;
use nexios::CancelToken;
use nexios_axum::ServiceLife;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use super::{Running, app, eventually, ms, soon, start};

/// Says everything again; when the service closes it takes its time to say goodbye.
async fn echo(mut io: impl AsyncRead + AsyncWrite + Unpin, closing: CancelToken) {
    let mut buffer = [0; 64];
    loop {
        tokio::select! {
            _ = closing.cancelled() => break,
            read = io.read(&mut buffer) => {
                let Ok(read @ 1..) = read else { return };
                if io.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
    sleep(ms(900)).await;
    let _ = io.write_all(b"goodbye").await;
    let _ = io.shutdown().await;
}

fn router() -> Router {
    let tracked = async |life: ServiceLife, mut request: Request| {
        let (upgrade, tracked) = (hyper::upgrade::on(&mut request), life.track("echo"));
        tokio::spawn(async move {
            let io = TokioIo::new(upgrade.await.unwrap());
            tracked.run(|closing| echo(io, closing)).await;
        });
        Body::empty()
    };
    let unknown = async |mut request: Request| {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            echo(TokioIo::new(upgrade.await.unwrap()), CancelToken::new()).await;
        });
        Body::empty()
    };
    Router::new()
        .route("/tracked", any(tracked))
        .route("/unknown", any(unknown))
}

struct Socket {
    send: SendStream<Bytes>,
    receive: RecvStream,
    _requests: SendRequest<Bytes>,
}

async fn connect(running: &Running, path: &str) -> Socket {
    let stream = TcpStream::connect(running.address).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut requests = soon(requests.ready()).await.unwrap();
    eventually(async || {
        requests
            .is_extended_connect_protocol_enabled()
            .then_some(())
    })
    .await;
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://test{path}"));
    let request = request
        .version(Version::HTTP_2)
        .extension(Protocol::from_static("websocket"));
    let (answer, send) = requests
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    let answer = soon(answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    Socket {
        send,
        receive: answer.into_body(),
        _requests: requests,
    }
}

impl Socket {
    async fn says_it_again(&mut self, text: &'static str) {
        self.send
            .send_data(Bytes::from_static(text.as_bytes()), false)
            .unwrap();
        let again = soon(self.receive.data())
            .await
            .expect("it has ended")
            .unwrap();
        assert_eq!(again, text);
    }

    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        while let Some(Ok(data)) = soon(self.receive.data()).await {
            rest.extend_from_slice(&data);
        }
        String::from_utf8(rest).unwrap()
    }
}

#[tokio::test]
async fn a_websocket_of_http2_is_no_idle_connection() {
    let running = start(app(router()).head_limit(ms(300))).await;
    let mut socket = connect(&running, "/tracked").await;
    // An idle connection of HTTP/2 is kept for a second at least, and half a one after the goodbye.
    for _ in 0..10 {
        socket.says_it_again("hello").await;
        sleep(ms(250)).await;
    }
    drop(socket);
    eventually(async || (running.handle.connections() == 0).then_some(())).await;
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn a_tracked_websocket_of_http2_keeps_its_connection_until_it_has_said_goodbye() {
    let running = start(app(router())).await;
    let mut socket = connect(&running, "/tracked").await;
    socket.says_it_again("hello").await;
    let stopping = tokio::spawn(running.stop());
    assert_eq!(socket.rest().await, "goodbye");
    let report = soon(stopping).await.unwrap();
    assert!(report.is_clean() && report.cut_off.is_empty(), "{report:?}");
}

#[tokio::test]
async fn a_websocket_of_http2_that_nobody_tracks_is_cut_off_as_a_stream_within_the_bound() {
    let running = start(app(router())).await;
    let mut socket = connect(&running, "/unknown").await;
    socket.says_it_again("hello").await;
    let report = running.stop().await;
    assert_eq!(socket.rest().await, "");
    assert_eq!(
        (report.abandoned.len(), report.cut_off.as_slice()),
        (0, &["stream CONNECT /unknown".to_owned()][..])
    );
    assert!(report.elapsed < ms(2_200), "{report:?}");
}
