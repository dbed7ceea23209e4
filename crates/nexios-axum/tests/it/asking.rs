//! Requests without a socket, polled by hand: on a paused clock a client leaves at a chosen moment.

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use axum::{Router, body::Body, http::Request, response::Response};
use tokio::sync::mpsc;
use tower::ServiceExt;

use crate::answer::Answer;

/// A request under way; dropping it is what hyper does when the client has gone.
pub(crate) struct Asking(Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>);

/// Sends a request, and polls the service for the first time.
pub(crate) async fn ask(app: &Router, request: Request<Body>) -> Asking {
    crate::log::start();
    let mut asking = Asking(Box::pin(app.clone().oneshot(request)));
    assert!(asking.poll().await.is_none(), "it was to wait");
    asking
}

impl Asking {
    /// Polls the service once.
    pub(crate) async fn poll(&mut self) -> Option<Response> {
        poll_fn(|cx| {
            Poll::Ready(match self.0.as_mut().poll(cx) {
                Poll::Ready(Ok(response)) => Some(response),
                Poll::Pending => None,
            })
        })
        .await
    }

    /// Waits for the answer.
    pub(crate) async fn answer(self) -> Answer {
        Answer::of(self.0.await.unwrap()).await
    }
}

/// Where handlers tell what happens to them.
#[derive(Clone)]
pub(crate) struct Diary(mpsc::UnboundedSender<String>);

pub(crate) struct Reader(mpsc::UnboundedReceiver<String>);

pub(crate) fn diary() -> (Diary, Reader) {
    let (writer, reader) = mpsc::unbounded_channel();
    (Diary(writer), Reader(reader))
}

impl Diary {
    pub(crate) fn write(&self, entry: impl Debug) {
        let _ = self
            .0
            .send(format!("{entry:?}").trim_matches('"').to_owned());
    }

    /// Writes when it is dropped.
    pub(crate) fn at_drop(&self, entry: &'static str) -> impl Send + use<> {
        struct AtDrop(Diary, &'static str);
        impl Drop for AtDrop {
            fn drop(&mut self) {
                self.0.write(self.1);
            }
        }
        AtDrop(self.clone(), entry)
    }
}

impl Reader {
    /// Waits for the next entry, at most 20 seconds.
    pub(crate) async fn next(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(20), self.0.recv());
        next.await
            .expect("nothing is written")
            .expect("the diary is closed")
    }

    /// What has been written since.
    pub(crate) fn written(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}
