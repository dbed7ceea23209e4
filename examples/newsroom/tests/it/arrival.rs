//! How the bytes of an upload arrive: slowly, never, or too many at once.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::Request,
};
use futures_util::{Stream, StreamExt, stream};
use image::ImageFormat;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tower::ServiceExt;

use crate::{
    answer::Answer,
    pictures::{colourful, encode, red_and_blue},
    service::{Service, serve},
    upload::{FORM, form, upload},
};

const KILOBYTE: usize = 1024;
const HEAD: &[u8] = b"--frontier\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n";

/// Begins an upload whose body comes as it comes.
fn begin(
    service: &Service,
    body: impl Stream<Item = Bytes> + Send + 'static,
) -> JoinHandle<Answer> {
    let body = Body::from_stream(body.map(Ok::<_, Infallible>));
    let request = Request::post("/upload")
        .header("content-type", FORM)
        .body(body)
        .unwrap();
    let app = service.app.clone();
    tokio::spawn(async move { Answer::read(app.oneshot(request).await.unwrap()).await })
}

/// Gives one piece at once, and then nothing.
fn stalling(piece: impl Into<Bytes>) -> impl Stream<Item = Bytes> + Send {
    let piece = piece.into();
    stream::once(async { piece }).chain(stream::pending())
}

/// Gives so many bytes at a time, with a pause before each, for ever.
fn steady(bytes: usize, pause: Duration) -> impl Stream<Item = Bytes> + Send {
    let pieces = stream::repeat(Bytes::from(vec![0; bytes])).then(move |piece| async move {
        sleep(pause).await;
        piece
    });
    stream::once(async { Bytes::from_static(HEAD) }).chain(pieces)
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stalls_is_408_after_ten_seconds() {
    let service = Service::new();
    for begun_with in [
        &b""[..],
        HEAD,
        &form("image", &vec![0; 30 * KILOBYTE])[..20 * KILOBYTE],
    ] {
        let begun = Instant::now();
        let answer = begin(&service, stalling(begun_with.to_vec()))
            .await
            .unwrap();
        answer.problem(408);
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(begun.elapsed().as_secs(), 10);
    }
}

/// A byte now and then is no progress.
#[tokio::test(start_paused = true)]
async fn an_upload_that_drips_is_408_after_ten_seconds() {
    let service = Service::new();
    let begun = Instant::now();
    begin(&service, steady(1, Duration::from_millis(100)))
        .await
        .unwrap()
        .problem(408);
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_does_not_arrive_in_two_minutes_is_408() {
    let service = Service::new();
    let begun = Instant::now();
    begin(&service, steady(70 * KILOBYTE, Duration::from_secs(9)))
        .await
        .unwrap()
        .problem(408);
    assert_eq!(begun.elapsed().as_secs(), 120);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_slow_but_steady_arrives() {
    let service = Service::new();
    let whole = form("image", &encode(&colourful(500, 400), ImageFormat::Png));
    assert!(whole.len() > 400 * KILOBYTE);
    let pieces: Vec<_> = whole
        .chunks(70 * KILOBYTE)
        .map(Bytes::copy_from_slice)
        .collect();
    let last = pieces.len() - 1;
    let body =
        stream::iter(pieces.into_iter().enumerate()).then(move |(index, piece)| async move {
            sleep(Duration::from_secs(8)).await;
            if index == last {
                // Threads work next, and a paused clock would run ahead of them.
                tokio::time::resume();
            }
            piece
        });
    let begun = Instant::now();
    begin(&service, body).await.unwrap().ok(200);
    assert!(
        begun.elapsed() > Duration::from_secs(40),
        "{:?}",
        begun.elapsed()
    );
}

/// On real sockets: a client that sends nothing takes nothing away from others, however many of them there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_uploads_hold_up_nobody() {
    let service = Service::new();
    let address = serve(service.app.clone()).await;
    let head = format!(
        "POST /upload HTTP/1.1\r\nhost: localhost\r\ncontent-type: {FORM}\r\ncontent-length: 1000000\r\n\r\n"
    );
    let mut idle = Vec::new();
    for _ in 0..100 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket
            .write_all(&[head.as_bytes(), HEAD].concat())
            .await
            .unwrap();
        idle.push(socket);
    }
    sleep(Duration::from_millis(200)).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let picture = form("image", &encode(&red_and_blue(300, 300), ImageFormat::Png));
    for _ in 0..5 {
        let request = client
            .post(format!("http://{address}/upload"))
            .header("content-type", FORM);
        let answer = request.body(picture.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "beside idle ones");
    }
    let mut answer = String::new();
    let reading = idle[0].read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(40), reading)
        .await
        .expect("it is cut off")
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

/// What has arrived is in memory, and there is only so much of it.
#[tokio::test]
async fn uploads_that_are_too_much_together_are_503_and_the_others_go_on() {
    let service = Service::new();
    tokio::time::pause();
    let large = Bytes::from(form("image", &vec![0; 19_000 * KILOBYTE])).slice(..19_000 * KILOBYTE);
    let mut uploads: Vec<_> = (0..7)
        .map(|_| begin(&service, stalling(large.clone())))
        .collect();
    sleep(Duration::from_millis(1_500)).await;
    let refused: Vec<_> = uploads
        .extract_if(.., |upload| upload.is_finished())
        .collect();
    assert_eq!((refused.len(), uploads.len()), (1, 6));
    for upload in refused {
        let answer = upload.await.unwrap();
        answer.problem(503);
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.header("connection"), Some("close"));
    }
    tokio::time::resume();
    upload(&service, &encode(&red_and_blue(300, 300), ImageFormat::Png))
        .await
        .ok(200);

    // The memory of a client that goes away is free at once.
    uploads.iter().for_each(JoinHandle::abort);
    for upload in uploads {
        assert!(upload.await.unwrap_err().is_cancelled());
    }
    crate::upload::upload(&service, &vec![0; 19_000 * KILOBYTE])
        .await
        .problem(415);
}

/// The head of a field is looked for from the start as often as bytes arrive.
#[tokio::test]
async fn a_form_in_which_no_field_begins_is_400_and_read_no_further() {
    let service = Service::new();
    for begun_with in [&b""[..], b"--frontier\r\n"] {
        let read = Arc::new(AtomicUsize::new(0));
        let counter = read.clone();
        let pieces = stream::iter(0..10_000).map(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Bytes::from_static(&[b'x'; KILOBYTE])
        });
        let begun = stream::once(async { Bytes::from_static(begun_with) });
        begin(&service, begun.chain(pieces))
            .await
            .unwrap()
            .problem(400);
        let read = read.load(Ordering::Relaxed);
        assert!(read < 2_000, "{read} kB");
    }
}

/// Nobody is there to be told, but it is no fault of ours.
#[tokio::test]
async fn a_body_that_breaks_off_is_400() {
    let service = Service::new();
    let pieces = [
        Ok(Bytes::from_static(HEAD)),
        Err(std::io::Error::other("gone")),
    ];
    let body = Body::from_stream(stream::iter(pieces));
    let request = Request::post("/upload")
        .header("content-type", FORM)
        .body(body)
        .unwrap();
    service.send(request).await.problem(400);
}
