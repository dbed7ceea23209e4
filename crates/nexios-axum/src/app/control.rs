//! One open connection, as those see it who end it: its orders, its requests, and whether its peer keeps up.
//!
//! # Invariants
//!
//! 1. Orders only grow. Whoever gives one wakes the connection after it has been written.
//! 2. A request is in flight from its head until its response body is dropped and, with HTTP/2, every piece of
//!    it has left for the system. An upgraded connection has none; a stream of HTTP/2 that is upgraded stays one until it
//!    ends, as its connection carries it.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::Waker,
    time::Duration,
};

use axum::http::{Method, Uri, Version};
use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::{flight::Flight, places::Place};
use crate::request::never_begun;

/// What a connection is told to do; a later one includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// Serve.
    Serve,
    /// HTTP/2: ask the client to open another connection. HTTP/1 says the same in each response.
    Drain,
    /// End after the requests in flight; a connection without one so far may still send its first.
    Close,
    /// End now unless a request is in flight.
    DropIdle,
    /// End now.
    Abort,
}

impl Order {
    pub(crate) fn from_byte(byte: u8) -> Self {
        let all = [Order::Serve, Order::Drain, Order::Close, Order::DropIdle];
        all.into_iter().find(|order| *order as u8 == byte).unwrap_or(Order::Abort)
    }
}

/// What a connection and those who end it share.
#[derive(Debug)]
pub(crate) struct Control {
    /// Who is at the other end, for the list of what was given up.
    peer: String,
    /// An [`Order`].
    order: AtomicU8,
    /// Wakes the task of the connection.
    waker: AtomicWaker,
    /// Whether the last request came by HTTP/2.
    http2: AtomicBool,
    /// Whether bytes wait for the client to read them.
    blocked: AtomicBool,
    /// Whether the server waits for bytes of the client's, and so hears of its end by itself.
    reading: AtomicBool,
    requests: Mutex<Requests>,
    /// Its place among those that may be open, until somebody else is given it.
    place: Mutex<Option<Place>>,
}

#[derive(Debug)]
struct Requests {
    /// In the order of their arrival; there are few, so a list is enough.
    in_flight: Vec<Arc<Flight>>,
    /// How many have begun.
    begun: u64,
    /// The last one that has begun over HTTP/2, until its task is there.
    spawning: Option<Arc<Flight>>,
    /// When the last of them ended, unless another one goes on.
    idle_since: Option<Instant>,
    /// Since when the client has taken no byte that waits for it.
    blocked_since: Option<Instant>,
}

/// Keeps a request in flight.
#[derive(Debug)]
pub(crate) struct InFlight {
    control: Arc<Control>,
    flight: Arc<Flight>,
    /// Whether anybody has begun with it.
    begun: bool,
}

/// What has not ended, by name.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    /// Requests without an answer, and answers with a length.
    pub(crate) work: Vec<String>,
    /// Answers that have no end of their own.
    pub(crate) streams: Vec<String>,
}

impl Control {
    pub(crate) fn new(peer: String, place: Option<Place>) -> Self {
        Control {
            peer,
            order: AtomicU8::new(Order::Serve as u8),
            waker: AtomicWaker::new(),
            http2: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            reading: AtomicBool::new(true),
            requests: Mutex::new(Requests {
                in_flight: Vec::new(),
                begun: 0,
                spawning: None,
                idle_since: Some(Instant::now()),
                blocked_since: None,
            }),
            place: Mutex::new(place),
        }
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub(crate) fn order(&self) -> Order {
        // Acquire: pairs with `tell`; who sees the order sees what was done before it was given.
        Order::from_byte(self.order.load(Ordering::Acquire))
    }

    pub(crate) fn tell(&self, order: Order) {
        // Release: pairs with `order`.
        self.order.fetch_max(order as u8, Ordering::Release);
        self.waker.wake();
    }

    /// Frees the place for somebody else; false if it has none.
    pub(crate) fn give_place_up(&self) -> bool {
        // Dropped outside the lock.
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        place.is_some()
    }

    /// Whether its place counts for `peer`, or for anybody.
    pub(crate) fn has_place_of(&self, peer: Option<IpAddr>) -> bool {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.as_ref().is_some_and(|place| peer.is_none() || place.peer() == peer)
    }

    /// A request begins; `complete` says that it has no body to come.
    pub(crate) fn begin(
        self: &Arc<Self>,
        method: &Method,
        uri: &Uri,
        version: Version,
        complete: bool,
    ) -> InFlight {
        let http2 = version == Version::HTTP_2;
        // Relaxed, here and below: written and read by the task of the connection only.
        self.http2.store(http2, Ordering::Relaxed);
        let mut requests = self.requests();
        let flight = Arc::new(Flight::new(requests.begun, method, uri, complete, http2));
        requests.begun += 1;
        requests.idle_since = None;
        requests.in_flight.push(flight.clone());
        requests.spawning = http2.then(|| flight.clone());
        drop(requests);
        InFlight { control: self.clone(), flight, begun: false }
    }

    /// A request of HTTP/2 becomes a stream of another protocol, which ends when the two sides like.
    pub(crate) fn upgrade(self: &Arc<Self>, request: &Flight) -> InFlight {
        let flight = Arc::new(request.upgraded());
        let mut requests = self.requests();
        requests.idle_since = None;
        requests.in_flight.push(flight.clone());
        drop(requests);
        InFlight { control: self.clone(), flight, begun: true }
    }

    /// The request whose task is made now. The server makes it right after it has begun the request.
    pub(crate) fn take_spawning(&self) -> Option<Arc<Flight>> {
        self.requests().spawning.take()
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    pub(crate) fn set_reading(&self, reading: bool) {
        self.reading.store(reading, Ordering::Relaxed);
    }

    pub(crate) fn is_reading(&self) -> bool {
        self.reading.load(Ordering::Relaxed)
    }

    pub(crate) fn set_blocked(&self, blocked: bool) {
        if blocked == self.blocked.load(Ordering::Relaxed) {
            return;
        }
        self.blocked.store(blocked, Ordering::Relaxed);
        let now = Instant::now();
        let mut requests = self.requests();
        requests.blocked_since = blocked.then_some(now);
        // A client that has read an answer to its end has all the time for its next request.
        if let Some(since) = &mut requests.idle_since {
            *since = now;
        }
    }

    /// Whether a request has begun at any time.
    pub(crate) fn has_begun(&self) -> bool {
        self.requests().begun > 0
    }

    /// Whether no request is in flight and no response on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle_since().is_some()
    }

    /// Since when it has had nothing to do; none while it has.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.requests().idle_since.filter(|_| !self.blocked.load(Ordering::Relaxed))
    }

    /// Since when the client has taken no byte of what is written to it.
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        self.requests().blocked_since
    }

    /// The HTTP/1 request in flight: its number, and whether all of it is here.
    pub(crate) fn current(&self) -> Option<(u64, bool)> {
        if self.is_http2() {
            return None;
        }
        self.requests().in_flight.last().map(|flight| flight.arrival())
    }

    /// Cuts off the HTTP/2 answers that have waited for the client for as long as `patience`, and returns them by
    /// name with the instant at which the next one may be due.
    pub(crate) fn cut_unread(&self, patience: Duration, now: Instant) -> (Vec<String>, Option<Instant>) {
        let mut requests = self.requests();
        let (mut cut, mut next) = (Vec::new(), None);
        if !self.is_http2() {
            return (cut, next);
        }
        for flight in requests.in_flight.iter().filter(|flight| !flight.is_cut()) {
            match flight.unread_since() {
                Some(since) if now.duration_since(since) >= patience => {
                    flight.cut_off();
                    cut.push(flight.name("response to"));
                }
                Some(since) => next = Some(next.unwrap_or(since + patience).min(since + patience)),
                None => {}
            }
        }
        requests.look_idle();
        (cut, next)
    }

    pub(crate) fn unfinished(&self) -> Unfinished {
        let requests = self.requests();
        let mut unfinished = Unfinished::default();
        for flight in requests.in_flight.iter().filter(|flight| !flight.is_cut()) {
            if flight.is_stream() {
                unfinished.streams.push(flight.name("stream"));
            } else {
                unfinished.work.push(flight.name("request"));
            }
        }
        if requests.in_flight.is_empty() && self.blocked.load(Ordering::Relaxed) {
            unfinished.work.push(self.unread_response());
        }
        unfinished
    }

    /// The name of an answer that is complete and on its way.
    pub(crate) fn unread_response(&self) -> String {
        format!("response to {} that it does not read", self.peer)
    }
}

impl Requests {
    /// Begins to count idleness when there is no request left that is not cut off.
    fn look_idle(&mut self) {
        if self.in_flight.iter().all(|flight| flight.is_cut()) && self.idle_since.is_none() {
            self.idle_since = Some(Instant::now());
        }
    }
}

impl InFlight {
    /// Its service is polled for the first time; dropped before, nobody else would have seen the request.
    pub(crate) fn begin(&mut self) {
        self.begun = true;
    }

    /// What the connection is told at this moment.
    pub(crate) fn order(&self) -> Order {
        self.control.order()
    }

    /// The request and how far its answer is.
    pub(crate) fn flight(&self) -> &Flight {
        &self.flight
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.begun {
            let (method, path) = self.flight.head();
            never_begun(method, path, self.flight.moved().elapsed());
        }
        let mut requests = self.control.requests();
        requests.in_flight.retain(|flight| !Arc::ptr_eq(flight, &self.flight));
        requests.look_idle();
        drop(requests);
        // An HTTP/2 request ends in a task of its own; the connection may have waited for it.
        if self.control.order() >= Order::Close {
            self.control.waker.wake();
        }
    }
}

/// Here because orders and idleness are not to be seen from outside, but by the luck of a race.
#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> Arc<Control> {
        Arc::new(Control::new("somebody".to_owned(), None))
    }

    async fn a_second() {
        tokio::time::advance(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn idleness_begins_when_the_last_answer_has_been_taken() {
        let control = control();
        let idle = || control.idle_since().map(|since| since.elapsed().as_secs());
        let begin = || control.begin(&Method::GET, &Uri::from_static("/a?b"), Version::HTTP_11, true);
        a_second().await;
        assert_eq!((idle(), control.is_idle(), control.has_begun()), (Some(1), true, false));
        let (first, last) = (begin(), begin());
        assert_eq!((idle(), control.is_idle(), control.has_begun()), (None, false, true));
        drop(first);
        assert_eq!((idle(), control.unfinished().work), (None, vec!["request GET /a".to_owned()]));
        control.set_blocked(true);
        drop(last);
        a_second().await;
        assert_eq!((control.is_idle(), control.unfinished().work.len()), (false, 1));
        assert_eq!(control.blocked_since().map(|since| since.elapsed().as_secs()), Some(1));
        control.set_blocked(false);
        assert_eq!((idle(), control.is_idle(), control.unfinished().work.len()), (Some(0), true, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_cut_off_for_its_client_and_not_for_its_source() {
        let (control, patience) = (control(), Duration::from_secs(3));
        let begin = |path| control.begin(&Method::GET, &Uri::from_static(path), Version::HTTP_2, true);
        let (handler, events, deaf) = (begin("/handler"), begin("/events"), begin("/deaf"));
        events.flight().answered(true);
        events.flight().hand_over();
        events.flight().sent();
        events.flight().source_waits();
        deaf.flight().answered(false);
        a_second().await;
        let (cut, next) = control.cut_unread(patience, Instant::now());
        assert_eq!((cut.len(), next.map(|next| next - Instant::now())), (0, Some(Duration::from_secs(2))));
        deaf.flight().hand_over();
        a_second().await;
        a_second().await;
        assert!(control.cut_unread(patience, Instant::now()).0.is_empty(), "it came further a moment ago");
        a_second().await;
        assert_eq!(
            control.cut_unread(patience, Instant::now()),
            (vec!["response to GET /deaf".to_owned()], None)
        );
        assert!(control.cut_unread(patience, Instant::now()).0.is_empty(), "once");
        let unfinished = control.unfinished();
        assert_eq!(
            (unfinished.work, unfinished.streams),
            (vec!["request GET /handler".to_owned()], vec!["stream GET /events".to_owned()])
        );
        drop((handler, events));
        assert!(control.is_idle(), "nothing is left but what is cut off");
    }
}
