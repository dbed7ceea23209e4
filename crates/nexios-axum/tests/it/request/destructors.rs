//! Handlers and bodies whose destructors panic: the answer, the lines and the counts are there all the same.

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
    routing::get as on_get,
};
use http_body::Frame;
use nexios_axum::{OnDisconnect, RequestLayer};
use tokio::time::sleep;

use crate::{
    answer::{Answer, get},
    asking::ask,
    log,
};

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("mop and bucket");
    }
}

/// Gives its frames, and panics when it is dropped.
struct Sore {
    frames: usize,
    _panics: PanicsInDrop,
}

impl HttpBody for Sore {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let more = self.frames > 0;
        self.frames = self.frames.saturating_sub(1);
        Poll::Ready(more.then(|| Ok(Frame::data(Bytes::from_static(b"frame")))))
    }
}

fn sore(frames: usize) -> Body {
    Body::new(Sore {
        frames,
        _panics: PanicsInDrop,
    })
}

async fn never() {
    let _panics = PanicsInDrop;
    pending::<()>().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_dropped_at_its_deadline_is_answered_for_whatever_its_destructors_do() {
    log::start();
    let cooperative = OnDisconnect::Cooperative {
        grace: Duration::from_secs(1),
    };
    for (path, policy) in [
        ("/destructor/immediate", OnDisconnect::Immediate),
        ("/destructor/unrescued", cooperative),
    ] {
        let layer = RequestLayer::new()
            .deadline(Duration::from_secs(1))
            .rescue_limit(0);
        let app = Router::new()
            .route(path, on_get(never).layer(policy))
            .layer(layer);
        Answer::from(&app, get(path)).await.problem(504);
        let mut lines = log::access(path);
        lines.retain(|line| line["message"] == "answered");
        assert_eq!(
            (lines.len(), &lines[0]["status"]),
            (1, &504.into()),
            "{lines:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_rescued_handler_leaves_its_line_whatever_its_destructors_do() {
    let layer = RequestLayer::new().grace(Duration::from_secs(1));
    let requests = layer.requests();
    let answers = async || {
        sleep(Duration::from_millis(100)).await;
        sore(1)
    };
    let app = Router::new()
        .route("/destructor/cut", on_get(never))
        .route("/destructor/answer", on_get(answers))
        .layer(layer);
    for (path, ending) in [
        ("/destructor/cut", "cut off"),
        ("/destructor/answer", "finished"),
    ] {
        drop(ask(&app, get(path)).await);
        requests.idle().await;
        assert_eq!(log::access(path)[1]["cleanup"], ending);
    }
    let stats = requests.stats();
    assert_eq!((stats.rescues, stats.cut_off, stats.panicked), (2, 1, 0));
    assert!(
        log::lines_with("mop and bucket")
            .iter()
            .any(|line| line["level"] == "ERROR")
    );
}

#[tokio::test]
async fn an_answer_comes_whole_whatever_the_destructor_of_its_body_does() {
    let router = Router::new().route("/destructor/body", on_get(async || sore(3)));
    let running = crate::app::start(crate::app::app(router)).await;
    let mut client = running.client().await;
    for _ in 0..2 {
        client.begin("/destructor/body").await;
        let answer = client.until(b"\r\n0\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("frame"),
            "{answer}"
        );
    }
    assert!(running.stop().await.is_clean());
    let lines = log::access("/destructor/body");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines.iter().all(|line| line.get("aborted").is_none()),
        "{lines:?}"
    );
}
