//! Requests whose body ends before it is complete: nobody's fault but the client's, and no answer reaches it.

use std::{
    net::{Shutdown, SocketAddr},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::Request,
    routing::post as on_post,
};
use futures_util::{StreamExt, stream};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nexios::CancelScope;
use nexios_axum::{OnDisconnect, OrProblem, Problem, RequestLayer, Requests};
use tokio::{net::TcpStream, time::sleep};

use crate::{
    asking::diary,
    log,
    service::{eventually, read_until, send, serve},
};

const LENGTH: &str = "content-length: 1000\r\n";
const CHUNKED: &str = "transfer-encoding: chunked\r\n";
#[cfg(feature = "multipart")]
const FORM: &str = "content-type: multipart/form-data; boundary=b\r\n";

/// Reads its body by hand.
async fn by_hand(request: Request) -> Result<String, Problem> {
    let mut body = request.into_body().into_data_stream();
    let mut length = 0;
    while let Some(bytes) = body.next().await {
        length += bytes?.len();
    }
    Ok(length.to_string())
}

#[cfg(feature = "multipart")]
async fn form(mut form: axum::extract::Multipart) -> Result<String, Problem> {
    let mut length = 0;
    while let Some(field) = form.next_field().await? {
        length += field.bytes().await?.len();
    }
    Ok(length.to_string())
}

fn routes() -> Router {
    let routes = Router::new()
        .route(
            "/upload/bytes",
            on_post(async |OrProblem(_): OrProblem<Bytes>| "read"),
        )
        .route(
            "/upload/text",
            on_post(async |OrProblem(_): OrProblem<String>| "read"),
        )
        .route(
            "/upload/json",
            on_post(async |OrProblem(Json(_)): OrProblem<Json<Vec<u8>>>| "read"),
        )
        .route("/upload/hand", on_post(by_hand));
    #[cfg(feature = "multipart")]
    let routes = routes.route("/upload/form", on_post(form));
    routes
}

/// What a client sends to each route: a head without its end, and the start of a body.
const UPLOADS: &[(&str, &str, &str)] = &[
    ("/upload/bytes", "", "abc"),
    ("/upload/text", "", "abc"),
    (
        "/upload/json",
        "content-type: application/json\r\n",
        "[1, 2",
    ),
    ("/upload/hand", "", "abc"),
    #[cfg(feature = "multipart")]
    (
        "/upload/form",
        FORM,
        "--b\r\ncontent-disposition: form-data; name=\"f\"\r\n\r\nabc",
    ),
];

/// The routes under a prefix, by which a test finds its own lines in the log.
async fn service(prefix: &str) -> (SocketAddr, Requests) {
    let layer = RequestLayer::new();
    let requests = layer.requests();
    (
        serve(Router::new().nest(prefix, routes()).layer(layer)).await,
        requests,
    )
}

fn head(path: &str, fields: &str, framing: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{fields}{framing}\r\n")
}

fn as_chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_an_upload_is_499_and_no_error() {
    for framing in [LENGTH, CHUNKED] {
        let (address, requests) = service("/left").await;
        for (number, (path, fields, body)) in (1..).zip(UPLOADS) {
            let path = &format!("/left{path}");
            let before = log::access(path).len();
            let body = if framing == CHUNKED {
                as_chunk(body)
            } else {
                (*body).to_owned()
            };
            let client = send(address, &(head(path, fields, framing) + &body)).await;
            eventually(async || (requests.live() == 1).then_some(())).await;
            sleep(Duration::from_millis(5)).await;
            drop(client);
            requests.idle().await;
            assert_eq!(requests.stats().disconnected, number, "{path} {framing}");
            let lines = log::access(path);
            assert_eq!(
                (lines.len(), &lines[before]["status"]),
                (before + 1, &499.into()),
                "{lines:?}"
            );
        }
    }
    let errors = log::lines_with("request failed");
    let broken =
        |line: &&serde_json::Value| line["cause"].as_str().unwrap_or_default().contains("body");
    assert!(!errors.iter().any(|line| broken(&line)), "{errors:?}");
}

#[tokio::test]
async fn a_broken_chunk_is_400_for_every_extractor() {
    let (address, _requests) = service("/broken").await;
    for (path, fields, body) in UPLOADS {
        let path = &format!("/broken{path}");
        let text = head(path, fields, CHUNKED) + &as_chunk(body) + "no length\r\n";
        let mut client = send(address, &text).await;
        let answer = read_until(&mut client, "}").await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
        assert!(
            answer.contains("application/problem+json") && answer.contains("too early"),
            "{path}: {answer}"
        );
        assert_eq!(log::access(path).last().unwrap()["status"], 400, "{path}");
    }
}

/// The handler does not give up by itself; it is treated as any other whose client went away.
#[tokio::test]
async fn a_handler_that_goes_on_after_its_client_left_is_treated_as_its_policy_says() {
    for (policy, expected) in [
        (
            OnDisconnect::Cooperative {
                grace: Duration::from_secs(5),
            },
            vec!["ClientDisconnected", "dropped"],
        ),
        (OnDisconnect::Immediate, vec!["dropped"]),
        (OnDisconnect::Detached, vec!["None", "dropped"]),
    ] {
        let (diary, mut reader) = diary();
        let handler = async move |request: Request| {
            let _dropped = diary.at_drop("dropped");
            let mut body = request.into_body().into_data_stream();
            // To the error, and beyond it.
            while let Some(Ok(_)) = body.next().await {}
            let token = CancelScope::current().unwrap().token();
            tokio::select! {
                reason = token.cancelled() => diary.write(reason),
                () = sleep(Duration::from_millis(400)) => diary.write(token.reason()),
            }
        };
        let layer = RequestLayer::new();
        let requests = layer.requests();
        let app = Router::new()
            .route("/upload/on", on_post(handler).layer(policy))
            .layer(layer);
        let client = send(serve(app).await, &(head("/upload/on", "", LENGTH) + "abc")).await;
        eventually(async || (requests.live() == 1).then_some(())).await;
        sleep(Duration::from_millis(5)).await;
        drop(client);
        requests.idle().await;
        assert_eq!(reader.written(), expected, "{policy:?}");
        assert_eq!(requests.stats().disconnected, 1, "{policy:?}");
    }
}

/// A client that may still read has broken off its request all the same.
#[tokio::test]
async fn a_client_that_closes_its_half_in_the_middle_of_an_upload_is_told() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (address, requests) = service("/half").await;
    let mut client = send(address, &(head("/half/upload/bytes", "", LENGTH) + "abc")).await;
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
        "{answer}"
    );
    requests.idle().await;
    assert_eq!(requests.stats().disconnected, 1);
}

/// By the reset of one stream, and by the loss of the connection.
#[tokio::test]
async fn an_http2_client_that_leaves_in_the_middle_of_an_upload_is_499() {
    for (number, loses_connection) in [(1, false), (2, true)] {
        let (address, requests) = service("/http2").await;
        let before = log::access("/http2/upload/hand").len();
        let socket = TcpStream::connect(address)
            .await
            .unwrap()
            .into_std()
            .unwrap();
        let wire = socket.try_clone().unwrap();
        let socket = TokioIo::new(TcpStream::from_std(socket).unwrap());
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), socket)
                .await
                .unwrap();
        tokio::spawn(connection);
        let (leave, left) = tokio::sync::oneshot::channel::<()>();
        let end = stream::once(async {
            let _ = left.await;
            Err(std::io::Error::other("the client resets its stream"))
        });
        let body = stream::iter([Ok("abc")]).chain(end);
        let request = Request::post(format!("http://{address}/http2/upload/hand"))
            .body(Body::from_stream(body));
        let asking = tokio::spawn(client.send_request(request.unwrap()));
        eventually(async || (requests.live() == 1).then_some(())).await;
        sleep(Duration::from_millis(20)).await;
        match loses_connection {
            false => leave.send(()).unwrap(),
            true => wire.shutdown(Shutdown::Both).unwrap(),
        }
        eventually(async || (requests.live() == 0).then_some(())).await;
        drop(asking);
        let lines = log::access("/http2/upload/hand");
        let gone = lines[before..]
            .iter()
            .filter(|line| line["status"] == 499)
            .count();
        assert_eq!(
            (gone, requests.stats().disconnected),
            (1, 1),
            "{number}: {lines:?}"
        );
    }
    let errors = log::lines_with("request failed");
    let broken =
        |line: &&serde_json::Value| line["cause"].as_str().unwrap_or_default().contains("body");
    assert!(!errors.iter().any(|line| broken(&line)), "{errors:?}");
}
