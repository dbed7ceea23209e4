//! From the head of the answer to its last byte.

use std::{
    convert::Infallible,
    future::pending,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::WebSocketUpgrade,
    http::{
        HeaderMap, Method, Request, StatusCode,
        header::{CONTENT_LENGTH, LOCATION},
    },
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::{any, get as on_get},
};
use futures_util::{StreamExt, stream};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody};
use nexios::{CancelReason, CancelToken};
use nexios_axum::{RequestLayer, RequestToken};
use tokio::{io::AsyncReadExt, time::sleep};
use tower::ServiceExt;

use crate::{
    answer::{Answer, get},
    asking::{Diary, diary},
    log,
    service::{eventually, read_until, send, send_get, serve},
};

fn chunk(text: &'static str) -> Result<Bytes, &'static str> {
    Ok(Bytes::from_static(text.as_bytes()))
}

/// Two chunks with a second between them.
async fn two_chunks() -> Body {
    let late = stream::once(async {
        sleep(Duration::from_secs(1)).await;
        chunk("two")
    });
    Body::from_stream(stream::iter([chunk("one ")]).chain(late))
}

/// One chunk, then nothing for ever; tells how the request's token fired.
async fn endless(diary: Diary, RequestToken(token): RequestToken) -> Body {
    tokio::spawn(async move { diary.write(token.cancelled().await) });
    Body::from_stream(stream::iter([chunk("one ")]).chain(stream::pending()))
}

async fn first_frame(response: &mut Response) -> Bytes {
    response
        .body_mut()
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_lives_until_the_last_byte_and_the_deadline_does_not_cut_its_body() {
    log::start();
    let layer = RequestLayer::new().deadline(Duration::from_millis(10));
    let requests = layer.requests();
    let app = Router::new()
        .route("/body/stream", on_get(two_chunks))
        .layer(layer);
    let mut response = app.oneshot(get("/body/stream")).await.unwrap();
    assert_eq!(first_frame(&mut response).await, "one ");
    assert_eq!((requests.live(), log::access("/body/stream").len()), (1, 0));
    assert_eq!(first_frame(&mut response).await, "two");
    assert!(response.body_mut().frame().await.is_none());
    assert_eq!(requests.live(), 0);
    let lines = log::access("/body/stream");
    assert_eq!(
        (lines.len(), &lines[0]["duration_ms"]),
        (1, &1_000.into()),
        "{lines:?}"
    );
    assert_eq!((requests.stats().aborted, requests.stats().expired), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_dropped_half_way_is_aborted_and_fires_the_token() {
    log::start();
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let app = Router::new()
        .route("/body/dropped", on_get(move |token| endless(diary, token)))
        .layer(layer);
    let mut response = app.oneshot(get("/body/dropped")).await.unwrap();
    first_frame(&mut response).await;
    drop(response);
    assert_eq!(
        (
            requests.live(),
            requests.stats().aborted,
            requests.stats().disconnected
        ),
        (0, 1, 0)
    );
    assert_eq!(reader.next().await, "ClientDisconnected");
    let lines = log::access("/body/dropped");
    assert_eq!(
        (&lines[0]["status"], &lines[0]["aborted"]),
        (&200.into(), &true.into())
    );
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_is_200_and_aborted_in_the_log() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let app = Router::new()
        .route("/body/left", on_get(move |token| endless(diary, token)))
        .layer(layer);
    let address = serve(app).await;
    let mut client = send_get(address, "/body/left").await;
    read_until(&mut client, "one ").await;
    assert_eq!(requests.live(), 1);
    drop(client);
    requests.idle().await;
    assert_eq!(reader.next().await, "ClientDisconnected");
    let lines = log::access("/body/left");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(
        (&lines[0]["status"], &lines[0]["aborted"]),
        (&200.into(), &true.into())
    );
}

#[tokio::test]
async fn answers_that_arrive_whole_are_not_aborted() {
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let app = Router::new()
        .route("/body/text", on_get(async || "text"))
        .route("/body/empty", on_get(async || ()))
        .route(
            "/body/chunks",
            on_get(async || Body::from_stream(stream::iter([chunk("one "), chunk("two")]))),
        )
        // A server that has sent as much as was promised looks no further.
        .route(
            "/body/promised",
            on_get(async || ([(CONTENT_LENGTH, "4")], endless_body())),
        )
        .layer(layer);
    let address = serve(app).await;
    for (path, end) in [
        ("/body/text", "text"),
        ("/body/empty", "\r\n\r\n"),
        ("/body/chunks", "0\r\n\r\n"),
        ("/body/promised", "one "),
    ] {
        let mut client = send_get(address, path).await;
        read_until(&mut client, end).await;
        requests.idle().await;
        assert_eq!(requests.stats().aborted, 0, "{path}");
        let lines = log::access(path);
        assert_eq!(
            (lines.len(), lines[0].get("aborted")),
            (1, None),
            "{lines:?}"
        );
    }
}

/// Says how much is to come, and leaves it to the server to notice that all has come.
struct Counted {
    left: usize,
    /// Whether what it says goes down with what it gives.
    counts_down: bool,
    trailers: bool,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            let trailers = std::mem::take(&mut self.trailers);
            return Poll::Ready(trailers.then(|| Ok(Frame::trailers(HeaderMap::new()))));
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"0123456789")))))
    }

    fn size_hint(&self) -> SizeHint {
        let left = if self.counts_down { self.left } else { 3 };
        SizeHint::with_exact(10 * left as u64)
    }
}

fn counted(left: usize, counts_down: bool, trailers: bool) -> Response {
    Response::new(Body::new(Counted {
        left,
        counts_down,
        trailers,
    }))
}

/// The size may be known by the body alone, in all the ways a body may tell it.
#[tokio::test]
async fn a_body_that_was_sent_whole_by_its_size_is_not_aborted() {
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let app = Router::new()
        .route("/size/down", on_get(async || counted(3, true, false)))
        .route("/size/fixed", on_get(async || counted(3, false, false)))
        .route("/size/trailers", on_get(async || counted(3, true, true)))
        .route("/size/empty", on_get(async || counted(0, true, false)))
        .layer(layer)
        // An outer layer that wraps the body as it is.
        .layer(map_response(async |response: Response| {
            response.map(Body::new)
        }));
    let address = serve(app).await;
    for (path, end) in [
        ("/size/down", "0123456789"),
        ("/size/fixed", "0123456789"),
        ("/size/trailers", "0123456789"),
        ("/size/empty", "\r\n\r\n"),
    ] {
        let mut client = send(
            address,
            &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
        )
        .await;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with(end), "{answer}");
        requests.idle().await;
        assert_eq!(requests.stats().aborted, 0, "{path}");
        let lines = log::access(path);
        assert_eq!(
            (lines.len(), lines[0].get("aborted")),
            (1, None),
            "{lines:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_a_known_size_dropped_before_its_end_is_aborted() {
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let app = Router::new()
        .route("/size/cut", on_get(async || counted(3, true, false)))
        .layer(layer);
    let mut response = app.oneshot(get("/size/cut")).await.unwrap();
    first_frame(&mut response).await;
    drop(response);
    assert_eq!(requests.stats().aborted, 1);
}

/// As the body of a gRPC answer is that was made of bytes.
#[tokio::test(start_paused = true)]
async fn trailers_behind_a_body_of_a_known_size_tell_how_the_call_ended() {
    for (path, bytes) in [("/size/nothing", ""), ("/size/something", "something")] {
        log::start();
        let handler = on_get(async move || {
            let trailers =
                HeaderMap::from_iter([("grpc-status".parse().unwrap(), "5".parse().unwrap())]);
            let trailers = std::future::ready(Some(Ok::<_, Infallible>(trailers)));
            Response::new(Body::new(
                Full::new(Bytes::from(bytes)).with_trailers(trailers),
            ))
        });
        let layer = RequestLayer::new();
        let requests = layer.requests();
        let app = Router::new().route(path, handler).layer(layer);
        app.oneshot(get(path))
            .await
            .unwrap()
            .into_body()
            .collect()
            .await
            .unwrap();
        assert_eq!((requests.live(), requests.stats().aborted), (0, 0));
        assert_eq!(log::access(path)[0]["grpc_status"], 5);
    }
}

/// A server that has sent trailers looks no further.
#[tokio::test(start_paused = true)]
async fn a_body_that_ends_with_trailers_has_ended_with_them() {
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let frames = || {
        stream::iter([Ok::<_, Infallible>(Frame::trailers(HeaderMap::new()))])
            .chain(stream::pending())
    };
    let handler = on_get(async move || Response::new(Body::new(StreamBody::new(frames()))));
    let app = Router::new().route("/size/last", handler).layer(layer);
    let mut response = app.oneshot(get("/size/last")).await.unwrap();
    assert!(
        response
            .body_mut()
            .frame()
            .await
            .unwrap()
            .unwrap()
            .is_trailers()
    );
    drop(response);
    assert_eq!((requests.live(), requests.stats().aborted), (0, 0));
}

fn endless_body() -> Body {
    Body::from_stream(stream::iter([chunk("one ")]).chain(stream::pending()))
}

/// Trap 5: a body that the server drops unsent has not been aborted.
#[tokio::test(start_paused = true)]
async fn bodies_that_are_not_sent_are_not_aborted() {
    log::start();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let app = Router::new()
        .route("/body/head", on_get(async || endless_body()))
        .route(
            "/body/204",
            on_get(async || (StatusCode::NO_CONTENT, endless_body())),
        )
        .route(
            "/body/304",
            on_get(async || (StatusCode::NOT_MODIFIED, endless_body())),
        )
        .layer(layer.clone())
        .route(
            "/body/replaced",
            on_get(async || endless_body()).layer(layer),
        )
        .layer(map_response(async |response: Response| {
            match response.status() {
                StatusCode::OK => ([(LOCATION, "/")], "another body").into_response(),
                _ => response,
            }
        }));
    for (method, path) in [
        (Method::HEAD, "/body/head"),
        (Method::GET, "/body/204"),
        (Method::GET, "/body/304"),
        (Method::GET, "/body/replaced"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        drop(app.clone().oneshot(request).await.unwrap());
        assert_eq!(
            (requests.live(), requests.stats().aborted),
            (0, 0),
            "{path}"
        );
        assert_eq!(log::access(path)[0].get("aborted"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_body_is_not_sent_has_finished_with_its_head() {
    let (diary, mut reader) = diary();
    let app = Router::new().route("/body/unsent", on_get(move |token| endless(diary, token)));
    let request = Request::head("/body/unsent").body(Body::empty()).unwrap();
    drop(
        app.layer(RequestLayer::new())
            .oneshot(request)
            .await
            .unwrap(),
    );
    assert_eq!(reader.next().await, "Finished");
}

#[tokio::test(start_paused = true)]
async fn the_token_hears_of_the_shutdown_while_the_body_is_sent() {
    let (diary, mut reader) = diary();
    let shutdown = CancelToken::new();
    let layer = RequestLayer::new().shutdown(shutdown.clone());
    let app = Router::new()
        .route("/body/shutdown", on_get(move |token| endless(diary, token)))
        .layer(layer);
    let mut response = app.oneshot(get("/body/shutdown")).await.unwrap();
    first_frame(&mut response).await;
    shutdown.cancel(CancelReason::Shutdown);
    assert_eq!(reader.next().await, "Shutdown");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_is_aborted() {
    log::start();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let failing = || on_get(async || Body::from_stream(stream::iter([chunk("one "), Err("disk")])));
    let app = Router::new().route("/body/fails", failing()).layer(layer);
    let mut response = app.oneshot(get("/body/fails")).await.unwrap();
    first_frame(&mut response).await;
    assert!(response.body_mut().frame().await.unwrap().is_err());
    drop(response);
    assert_eq!((requests.live(), requests.stats().aborted), (0, 1));
}

/// Trap 5: an upgraded connection is nobody's request any more.
#[tokio::test]
async fn an_upgrade_ends_the_request_at_its_head() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let handler = async move |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async move |_socket| {
            diary.write("upgraded");
            pending::<()>().await;
        })
    };
    let address = serve(
        Router::new()
            .route("/body/socket", any(handler))
            .layer(layer),
    )
    .await;
    let request = "GET /body/socket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut client = send(address, request).await;
    read_until(&mut client, "101 Switching").await;
    assert_eq!(reader.next().await, "upgraded");
    eventually(async || (requests.live() == 0).then_some(())).await;
    assert_eq!(log::access("/body/socket")[0]["status"], 101);
    assert_eq!(requests.stats().aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn trailers_and_hints_pass_through() {
    let service = tower::service_fn(async |_| {
        let mut trailers = axum::http::HeaderMap::new();
        trailers.insert("checksum", "7".parse().unwrap());
        let body = http_body_util::Full::new(Bytes::from_static(b"text"));
        Ok::<_, Infallible>(Response::new(
            body.with_trailers(async move { Some(Ok(trailers)) }),
        ))
    });
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let response = tower::Layer::layer(&layer, service)
        .oneshot(get("/body/trailers"))
        .await
        .unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["checksum"], "7");
    assert_eq!((requests.live(), requests.stats().aborted), (0, 0));
    let app = Router::new()
        .route("/body/hint", on_get(async || "text"))
        .layer(RequestLayer::new());
    let answer = Answer::from(&app, get("/body/hint")).await;
    assert_eq!(answer.header("content-length"), Some("4"));
}
