//! One request in flight, and how far its answer is.
//!
//! An answer waits for its client from the moment at which the server could send more and may not. With HTTP/2 only the
//! answer can tell, as the server takes a piece of it long before it may send that.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use axum::http::{Method, Uri};
use futures_util::task::AtomicWaker;
use tokio::time::Instant;

/// One request and its answer.
#[derive(Debug)]
pub(crate) struct Flight {
    number: u64,
    method: Method,
    uri: Uri,
    /// Whether the client has sent all that belongs to it, so that what comes next is another request.
    complete: bool,
    /// Whether it is known from the answer that its client does not read; else the socket tells.
    http2: bool,
    progress: Mutex<Progress>,
    /// Set once by whoever cuts the answer off.
    cut: AtomicBool,
    /// Wakes the task of an HTTP/2 request, to be cut off.
    waker: AtomicWaker,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    answer: Answer,
    /// Whether the body was asked for more and has nothing yet.
    source_waits: bool,
    /// Pieces of the body that wait in the server.
    unsent: usize,
    /// When the answer last came further.
    moved: Instant,
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
    pub(crate) fn new(number: u64, method: &Method, uri: &Uri, complete: bool, http2: bool) -> Self {
        let moved = Instant::now();
        Flight {
            number,
            method: method.clone(),
            uri: uri.clone(),
            complete,
            http2,
            progress: Mutex::new(Progress { answer: Answer::None, source_waits: false, unsent: 0, moved }),
            cut: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    /// What an HTTP/2 request becomes that is upgraded: a stream of which only its two sides know how far it is.
    pub(crate) fn upgraded(&self) -> Self {
        let flight = Flight::new(self.number, &self.method, &self.uri, true, true);
        flight.answered(true);
        flight.source_waits();
        flight
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its number, and whether all of it is here.
    pub(crate) fn arrival(&self) -> (u64, bool) {
        (self.number, self.complete)
    }

    /// The path says which work it was; the query may hold what is nobody's business.
    pub(crate) fn head(&self) -> (&Method, &str) {
        (&self.method, self.uri.path())
    }

    pub(crate) fn name(&self, what: &str) -> String {
        let (method, path) = self.head();
        format!("{what} {method} {path}")
    }

    /// When it last came further: it came, was answered, or a piece of its answer left.
    pub(crate) fn moved(&self) -> Instant {
        self.progress().moved
    }

    /// Whether its answer is under way and has no length.
    pub(crate) fn is_stream(&self) -> bool {
        self.progress().answer == Answer::Stream
    }

    /// Since when the client has not let the server send what it has of an HTTP/2 answer.
    pub(crate) fn unread_since(&self) -> Option<Instant> {
        let progress = self.progress();
        let unread = progress.answer != Answer::None && (progress.unsent > 0 || !progress.source_waits);
        unread.then_some(progress.moved)
    }

    /// There is an answer; `endless` says that it has no length.
    pub(crate) fn answered(&self, endless: bool) {
        let mut progress = self.progress();
        progress.answer = if endless { Answer::Stream } else { Answer::Finite };
        if self.http2 {
            progress.moved = Instant::now();
        }
    }

    /// The server asks for more, and there is none yet.
    pub(crate) fn source_waits(&self) {
        self.progress().source_waits = true;
    }

    /// A piece goes to the server, which sends it when the client lets it.
    pub(crate) fn hand_over(&self) {
        let mut progress = self.progress();
        progress.source_waits = false;
        progress.unsent += 1;
        progress.moved = Instant::now();
    }

    /// A piece is out.
    pub(crate) fn sent(&self) {
        let mut progress = self.progress();
        progress.unsent = progress.unsent.saturating_sub(1);
        progress.moved = Instant::now();
    }

    /// Ends its task, and with it the answer.
    pub(crate) fn cut_off(&self) {
        // Release: pairs with `is_cut`, for the task that is woken.
        self.cut.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(crate) fn is_cut(&self) -> bool {
        // Acquire: pairs with `cut_off`.
        self.cut.load(Ordering::Acquire)
    }

    /// Has `waker` woken when the answer is cut off.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }
}
