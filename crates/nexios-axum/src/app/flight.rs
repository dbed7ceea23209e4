//! One request in flight, and how far its answer is.
//!
//! An answer waits for its client from the moment at which the server could send more and may not. With HTTP/2 only the
//! answer can tell, as the server takes a piece of it long before it may send that.
//!
//! A flight is plain data under the lock of its connection, which wakes and drops nothing of others there.

use std::task::Waker;

use axum::http::{Method, Uri, uri::PathAndQuery};
use tokio::time::Instant;

use crate::{request::never_begun, text::for_the_log};

/// One request and its answer.
#[derive(Debug)]
pub(crate) struct Flight {
    /// How many came before it on its connection.
    pub(crate) number: u64,
    method: Method,
    /// Says which work it was; the query may hold what is nobody's business.
    path: Option<PathAndQuery>,
    /// Whether the client has sent all that belongs to it, so that what comes next is another request.
    pub(crate) complete: bool,
    /// Whether it is known from the answer that its client does not read; else the socket tells.
    http2: bool,
    /// Whether its service was polled, as is known when it is over: else nobody else has seen the request.
    begun: bool,
    answer: Answer,
    /// Whether the body was asked for more and has nothing yet.
    source_waits: bool,
    /// Pieces of the body that wait in the server.
    unsent: usize,
    /// Whether the server has all of the answer that it will have.
    given: bool,
    /// When it last came further: it came, was answered, or a piece of its answer left.
    moved: Instant,
    /// Whether the answer is cut off.
    cut: bool,
    /// Wakes the task of an HTTP/2 request, to be cut off.
    waker: Option<Waker>,
}

/// How much is known of the answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The handler is at work.
    None,
    /// It has a length.
    Finite,
    /// It ends when it likes to: a stream of events, or a body of unknown length.
    Stream,
}

impl Flight {
    /// The request with this number on its connection; `complete` says that it has no body to come.
    pub(crate) fn new(
        number: u64,
        method: &Method,
        uri: &Uri,
        complete: bool,
        http2: bool,
    ) -> Self {
        Flight {
            number,
            method: method.clone(),
            path: uri.path_and_query().cloned(),
            complete,
            http2,
            begun: false,
            answer: Answer::None,
            source_waits: false,
            unsent: 0,
            given: false,
            moved: Instant::now(),
            cut: false,
            waker: None,
        }
    }

    /// What an HTTP/2 request becomes that is upgraded: a stream of which only its two sides know how far it is.
    pub(crate) fn upgraded(&self, number: u64) -> Self {
        let (method, path) = (self.method.clone(), self.path.clone());
        let mut flight = Flight {
            number,
            method,
            path,
            ..Flight::new(number, &Method::CONNECT, &Uri::default(), true, true)
        };
        flight.answered(true);
        flight.source_waits();
        flight
    }

    fn path(&self) -> &str {
        for_the_log(self.path.as_ref().map_or("", PathAndQuery::path))
    }

    pub(crate) fn name(&self, what: &str) -> String {
        format!(
            "{what} {} {}",
            for_the_log(self.method.as_str()),
            self.path()
        )
    }

    /// Says in the log that it has come and gone, if nobody else can.
    pub(crate) fn log_unless_begun(&self) {
        if !self.begun {
            never_begun(&self.method, self.path(), self.moved.elapsed());
        }
    }

    /// Whether its answer is under way and has no length.
    pub(crate) fn is_stream(&self) -> bool {
        self.answer == Answer::Stream
    }

    /// Whether all of its answer is out, or will never be.
    pub(crate) fn is_over(&self) -> bool {
        self.given && self.unsent == 0
    }

    /// Since when the client has not let the server send what it has of an HTTP/2 answer.
    pub(crate) fn unread_since(&self) -> Option<Instant> {
        let unread = self.answer != Answer::None && (self.unsent > 0 || !self.source_waits);
        unread.then_some(self.moved)
    }

    /// There is an answer; `endless` says that it has no length.
    pub(crate) fn answered(&mut self, endless: bool) {
        self.answer = if endless {
            Answer::Stream
        } else {
            Answer::Finite
        };
        if self.http2 {
            self.moved = Instant::now();
        }
    }

    /// The server asks for more, and there is none yet.
    pub(crate) fn source_waits(&mut self) {
        self.source_waits = true;
    }

    /// A piece goes to the server, which sends it when the client lets it.
    pub(crate) fn hand_over(&mut self) {
        self.source_waits = false;
        self.unsent += 1;
        self.moved = Instant::now();
    }

    /// A piece is out.
    pub(crate) fn sent(&mut self) {
        self.unsent = self.unsent.saturating_sub(1);
        self.moved = Instant::now();
    }

    /// The server has all of the answer, or wants no more of it; `begun` says whether the service was ever polled.
    pub(crate) fn give(&mut self, begun: bool) {
        (self.given, self.begun) = (true, begun);
    }

    /// Ends its task, and with it the answer, once the returned waker is woken.
    pub(crate) fn cut_off(&mut self) -> Option<Waker> {
        self.cut = true;
        self.waker.take()
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Has `waker` woken when the answer is cut off; the one before is for the caller to drop.
    pub(crate) fn register(&mut self, waker: &Waker) -> Option<Waker> {
        match &self.waker {
            Some(registered) if registered.will_wake(waker) => None,
            _ => self.waker.replace(waker.clone()),
        }
    }
}

/// Here because the names of a shutdown are seen from outside only when it gives work up.
#[cfg(test)]
mod tests {
    use axum::http::{Method, Uri};

    use super::Flight;

    #[test]
    fn a_name_has_two_hundred_characters_of_a_method_and_of_a_path_at_most() {
        let method: Method = "M".repeat(10_000).parse().unwrap();
        let uri: Uri = format!("/{}?secret", "p".repeat(10_000)).parse().unwrap();
        let name = Flight::new(0, &method, &uri, true, false).name("request");
        let expected = format!("request {} /{}", "M".repeat(200), "p".repeat(199));
        assert_eq!(name, expected);
    }
}
