//! The answer on its way out.
//!
//! # Invariants
//!
//! 1. An answer that is not out has a [`Sending`], which keeps its request live and says how it ended: finished, or by its
//!    drop aborted, unless nobody has asked for a byte.
//! 2. Finished is what has given all that the server will send: it does not ask for more than it was told that there is.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    str::FromStr,
    task::{Context, Poll},
    thread,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header::CONTENT_LENGTH},
};
use http_body::{Frame, SizeHint};
use nexios::CancelReason;

use super::{
    access,
    requests::count,
    state::{Live, Stop},
    work::{RequestWork, Verdict},
};
use crate::{
    answer::grpc,
    panic::{drop_others, text_of},
    punctual::poll_punctual,
};

/// Keeps the request alive until the last byte of its answer is out.
pub(super) fn watch(live: Live, response: Response<Body>) -> Response<Body> {
    let status = response.status();
    let (length, grpc_status) = told(response.headers());
    live.say_status(status.as_u16());
    if !is_sent(live.method(), status) || response.body().is_end_stream() {
        access::answered(&live, status.as_u16(), grpc_status, false);
        if let Some(work) = live.work() {
            work.say("response_bytes", 0);
            work.conclude(Verdict::Answered {
                status: status.as_u16(),
                grpc_status,
            });
        }
        live.cancel(CancelReason::Finished);
        return response;
    }
    // Without the header the server takes the length from the body.
    let left = length.or(response.body().size_hint().exact());
    response.map(|inner| {
        let status = status.as_u16();
        let sending = Sending {
            shutdown: live.work().and_then(|_| live.stop(None)),
            live,
            status,
            grpc_status,
            left,
            bytes: 0,
            polled: false,
            whole: left == Some(0),
        };
        Body::new(WatchedBody {
            inner,
            sending: Some(sending),
        })
    })
}

/// Whether the server will send the body at all: what it drops unsent has not been aborted.
fn is_sent(method: &Method, status: StatusCode) -> bool {
    let bodiless = status.is_informational()
        || [
            StatusCode::NO_CONTENT,
            StatusCode::RESET_CONTENT,
            StatusCode::NOT_MODIFIED,
        ]
        .contains(&status);
    let upgraded = method == Method::CONNECT && status.is_success();
    !bodiless && !upgraded && method != Method::HEAD
}

/// How many bytes come, and how a gRPC call ended, which says so before its answer or after.
fn told(headers: &HeaderMap) -> (Option<u64>, Option<u32>) {
    let (mut length, mut grpc_status) = (None, None);
    // There are few: comparing names is cheaper than two look-ups.
    for (name, value) in headers {
        if name == CONTENT_LENGTH {
            length = length.or_else(|| number(value));
        } else if name == grpc::STATUS {
            grpc_status = grpc_status.or_else(|| number(value));
        }
    }
    (length, grpc_status)
}

fn number<N: FromStr>(value: &HeaderValue) -> Option<N> {
    value.to_str().ok()?.parse().ok()
}

struct WatchedBody {
    inner: Body,
    /// There until the body has ended.
    sending: Option<Sending>,
}

/// An answer that is not out yet; dropped, it was aborted.
struct Sending {
    live: Live,
    status: u16,
    /// The status of a gRPC call.
    grpc_status: Option<u32>,
    /// Bytes to come, if it is known how many there are: a server that has sent them looks no further.
    left: Option<u64>,
    /// Bytes that were handed over.
    bytes: u64,
    /// The end of the service, of which observers hear when it comes.
    shutdown: Option<Stop>,
    /// Whether it was asked for.
    polled: bool,
    /// All bytes were handed over: dropped from now on, it was not aborted. Trailers may still come.
    whole: bool,
}

impl Sending {
    /// Takes note of a frame, and of what its body says after it.
    fn note(&mut self, frame: &Frame<Bytes>, rest: &SizeHint) {
        if let Some(trailers) = frame.trailers_ref() {
            self.grpc_status = told(trailers).1.or(self.grpc_status);
            self.whole = true;
        }
        if let Some(data) = frame.data_ref() {
            let length = data.len() as u64;
            self.bytes += length;
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(length);
                self.whole = *left == 0;
            }
        }
        self.whole |= rest.exact() == Some(0);
    }

    /// Polls the body as a part of its request.
    fn poll(
        &mut self,
        body: &mut Body,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(work) = self.live.work() else {
            return Pin::new(body).poll_frame(cx);
        };
        let poll = || Pin::new(body).poll_frame(cx);
        let polled = work.poll(|| catch_unwind(AssertUnwindSafe(poll)));
        match &polled {
            Ok(Poll::Ready(Some(Err(error)))) => {
                work.conclude(Verdict::Failed(Some(error.to_string())));
            }
            Ok(_) => {}
            Err(payload) => work.conclude(Verdict::Panicked(text_of(&**payload).to_owned())),
        }
        // Asked after the body: one that knows of the end itself has been polled because of it.
        if let Some(shutdown) = &mut self.shutdown
            && let Poll::Ready(reason) = poll_punctual(Pin::new(shutdown), cx)
        {
            self.shutdown = None;
            work.cancelling(reason);
        }
        polled.unwrap_or_else(|payload| resume_unwind(payload))
    }

    /// Tells observers how it ended.
    fn conclude(&self, work: &RequestWork, aborted: bool) {
        work.say("response_bytes", self.bytes);
        work.conclude(if !aborted {
            Verdict::Answered {
                status: self.status,
                grpc_status: self.grpc_status,
            }
        } else if thread::panicking() {
            Verdict::Panicked(String::new())
        } else {
            Verdict::Cancelled(self.cut_by())
        });
    }

    /// A body that nobody asked for was replaced by an outer layer, not aborted.
    fn is_aborted(&self) -> bool {
        self.polled && !self.whole
    }

    /// Who cuts it: a stream that its service cuts off has lost its client by that.
    fn cut_by(&self) -> CancelReason {
        let shutdown = self.live.shutdown_reason();
        shutdown.unwrap_or(CancelReason::ClientDisconnected)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let aborted = self.is_aborted();
        if aborted {
            count(&self.live.requests().totals().aborted);
        }
        if let Some(work) = self.live.work() {
            self.conclude(work, aborted);
        }
        self.live.cancel(match (self.whole, aborted) {
            (true, _) => CancelReason::Finished,
            (_, true) => CancelReason::ClientDisconnected,
            _ => CancelReason::OwnerDropped,
        });
        access::answered(&self.live, self.status, self.grpc_status, aborted);
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        // What was sent of the answer may still be on its way, on a connection that is others' too.
        let inner = std::mem::take(&mut self.inner);
        match &self.sending {
            Some(sending) => {
                // Said before it is done, as for all that is cancelled.
                if sending.is_aborted()
                    && let Some(work) = sending.live.work()
                {
                    work.cancelling(sending.cut_by());
                }
                sending.live.drop_part(inner);
            }
            None => drop_others(inner),
        }
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let polled = match &mut this.sending {
            Some(sending) => {
                sending.polled = true;
                sending.poll(&mut this.inner, cx)
            }
            None => Pin::new(&mut this.inner).poll_frame(cx),
        };
        let Poll::Ready(frame) = polled else {
            return Poll::Pending;
        };
        let ended = match (&frame, &mut this.sending) {
            (Some(Ok(frame)), Some(sending)) => {
                sending.note(frame, &this.inner.size_hint());
                frame.is_trailers() || this.inner.is_end_stream()
            }
            (None, _) => true,
            _ => false,
        };
        if ended && let Some(mut sending) = this.sending.take() {
            sending.whole = true;
            if sending.live.work().is_some() {
                // Its parts end before it.
                let inner = std::mem::take(&mut this.inner);
                sending.live.drop_part(inner);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
