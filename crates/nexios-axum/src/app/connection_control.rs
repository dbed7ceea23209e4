//! One open connection, as those see it who end it: its orders, its requests, and whether its peer keeps up.
//!
//! # Invariants
//!
//! 1. Orders only grow. Whoever gives one wakes the connection after it has been written.
//! 2. A request is in flight from its head until its response body is dropped and, with HTTP/2, every piece of
//!    it has left for the system. An upgraded connection has none; a stream of HTTP/2 that is upgraded stays one until it
//!    ends, as its connection carries it.
//! 3. Under the lock nobody is woken, and no waker and no place is dropped.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::http::{Method, Uri, Version};
use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::{flight::Flight, places::Place};

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
        all.into_iter()
            .find(|order| *order as u8 == byte)
            .unwrap_or(Order::Abort)
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
    /// Whether the server waits for bytes of the client's, and so hears of its end by itself. No lock is taken to read.
    reading: AtomicBool,
    traffic: Mutex<Traffic>,
}

/// What goes on at a connection.
#[derive(Debug)]
struct Traffic {
    /// In the order of their arrival; there are few, so a list is enough.
    in_flight: Vec<Flight>,
    /// How many have arrived.
    arrived: u64,
    /// The number of the last one that has arrived over HTTP/2, until its task is there.
    spawning: Option<u64>,
    /// Whether the last request came by HTTP/2.
    http2: bool,
    /// When the last of them ended, unless another one goes on.
    idle_since: Option<Instant>,
    /// Since when the client has taken no byte that waits for it.
    blocked_since: Option<Instant>,
    /// Its place among those that may be open, until somebody else is given it.
    place: Option<Place>,
}

/// Keeps a request in flight, for as long as the server may want more of its answer.
#[derive(Debug)]
pub(crate) struct InFlight {
    control: Arc<Control>,
    number: u64,
    /// Whether its service was polled.
    begun: bool,
}

/// Keeps a request in flight until a piece of its answer has left.
#[derive(Debug)]
pub(crate) struct Piece {
    control: Arc<Control>,
    number: u64,
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
            reading: AtomicBool::new(true),
            traffic: Mutex::new(Traffic {
                in_flight: Vec::new(),
                arrived: 0,
                spawning: None,
                http2: false,
                idle_since: Some(Instant::now()),
                blocked_since: None,
                place,
            }),
        }
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        // Plain data; a poisoned one is still whole.
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
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
        // Its drop takes the lock of all places: no lock within a lock.
        let place = self.traffic().place.take();
        place.is_some()
    }

    /// Since when it has been idle, if it has a place that counts for `peer`, or for anybody.
    pub(crate) fn idle_in_place_of(&self, peer: Option<IpAddr>) -> Option<Instant> {
        let traffic = self.traffic();
        let place = traffic.place.as_ref()?;
        if peer.is_none() || place.peer() == peer {
            traffic.idle_since()
        } else {
            None
        }
    }

    /// The head of a request is there; `complete` says that it has no body to come.
    pub(crate) fn arrives(
        self: &Arc<Self>,
        method: &Method,
        uri: &Uri,
        version: Version,
        complete: bool,
    ) -> InFlight {
        let http2 = version == Version::HTTP_2;
        let mut traffic = self.traffic();
        // Numbers grow, so the list is in their order and can be searched by them.
        let number = traffic.arrived;
        traffic.arrived += 1;
        traffic.http2 = http2;
        traffic.idle_since = None;
        traffic
            .in_flight
            .push(Flight::new(number, method, uri, complete, http2));
        traffic.spawning = http2.then_some(number);
        drop(traffic);
        InFlight {
            control: self.clone(),
            number,
            begun: false,
        }
    }

    /// A request of HTTP/2 becomes a stream of another protocol, which ends when the two sides like. None if its answer is
    /// cut off already.
    pub(crate) fn upgrade(self: &Arc<Self>, request: u64) -> Option<InFlight> {
        let mut traffic = self.traffic();
        let position = traffic.position(request)?;
        let number = traffic.arrived;
        traffic.arrived += 1;
        let stream = traffic.in_flight[position].upgraded(number);
        traffic.idle_since = None;
        traffic.in_flight.push(stream);
        drop(traffic);
        Some(InFlight {
            control: self.clone(),
            number,
            begun: true,
        })
    }

    /// The request whose task is made now. The server makes it right after the request has arrived.
    pub(crate) fn take_spawning(&self) -> Option<u64> {
        self.traffic().spawning.take()
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.traffic().http2
    }

    pub(crate) fn set_reading(&self, reading: bool) {
        // Relaxed: written and read by the task of the connection only.
        self.reading.store(reading, Ordering::Relaxed);
    }

    pub(crate) fn is_reading(&self) -> bool {
        self.reading.load(Ordering::Relaxed)
    }

    /// Bytes begin to wait for the client, or it has taken some.
    pub(crate) fn set_blocked(&self, blocked: bool) {
        let now = Instant::now();
        let mut traffic = self.traffic();
        traffic.blocked_since = blocked.then_some(now);
        // A client that has read an answer to its end has all the time for its next request.
        if let Some(since) = &mut traffic.idle_since {
            *since = now;
        }
    }

    /// Whether a request has arrived at any time.
    pub(crate) fn has_had_one(&self) -> bool {
        self.traffic().arrived > 0
    }

    /// Whether no request is in flight and no response on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle_since().is_some()
    }

    /// Since when it has had nothing to do; none while it has.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.traffic().idle_since()
    }

    /// Since when the client has taken no byte of what is written to it.
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        self.traffic().blocked_since
    }

    /// The HTTP/1 request in flight: its number, and whether all of it is here.
    pub(crate) fn current(&self) -> Option<(u64, bool)> {
        let traffic = self.traffic();
        let current = traffic.in_flight.last().filter(|_| !traffic.http2)?;
        Some((current.number, current.complete))
    }

    /// Takes note of what happened to a request, which may not be in flight any longer then.
    fn note(&self, number: u64, note: impl FnOnce(&mut Flight)) {
        let mut traffic = self.traffic();
        let Some(index) = traffic.position(number) else {
            return;
        };
        let flight = &mut traffic.in_flight[index];
        note(flight);
        if !flight.is_over() {
            return;
        }
        // Out of the list before the connection is woken: it looks whether it is idle.
        let ended = traffic.in_flight.remove(index);
        traffic.look_idle();
        drop(traffic);
        // An HTTP/2 request ends in a task of its own; the connection may have waited for it.
        if self.order() >= Order::Close {
            self.waker.wake();
        }
        ended.log_unless_begun();
    }

    /// Is ready when the answer to a request is cut off.
    pub(crate) fn poll_cut(&self, number: u64, cx: &Context<'_>) -> Poll<()> {
        let mut traffic = self.traffic();
        // One that is out to its end is cut off by nobody, and its task may have more to do.
        let Some(index) = traffic.position(number) else {
            return Poll::Pending;
        };
        let flight = &mut traffic.in_flight[index];
        if flight.is_cut() {
            return Poll::Ready(());
        }
        let before = flight.register(cx.waker());
        drop(traffic);
        // A waker may be the last that keeps a task, whose request would come here again for the lock.
        drop(before);
        Poll::Pending
    }

    /// Cuts off the HTTP/2 answers that have waited for the client for as long as `patience`, and returns them by
    /// name with the instant at which the next one may be due.
    pub(crate) fn cut_unread(
        &self,
        patience: Duration,
        now: Instant,
    ) -> (Vec<String>, Option<Instant>) {
        let mut traffic = self.traffic();
        let (mut cut, mut next, mut woken) = (Vec::new(), None, Vec::new());
        if !traffic.http2 {
            return (cut, next);
        }
        // Once: a cut answer stays in the list until its task has dropped it.
        for flight in traffic
            .in_flight
            .iter_mut()
            .filter(|flight| !flight.is_cut())
        {
            match flight.unread_since() {
                Some(since) if now.duration_since(since) >= patience => {
                    woken.extend(flight.cut_off());
                    cut.push(flight.name("response to"));
                }
                Some(since) => next = Some(next.unwrap_or(since + patience).min(since + patience)),
                None => {}
            }
        }
        // What is cut off holds nothing up; its task may take its time to end.
        traffic.look_idle();
        drop(traffic);
        // Each task takes the lock as soon as it runs.
        woken.into_iter().for_each(Waker::wake);
        (cut, next)
    }

    pub(crate) fn unfinished(&self) -> Unfinished {
        let traffic = self.traffic();
        let mut unfinished = Unfinished::default();
        for flight in traffic.in_flight.iter().filter(|flight| !flight.is_cut()) {
            if flight.is_stream() {
                unfinished.streams.push(flight.name("stream"));
            } else {
                unfinished.work.push(flight.name("request"));
            }
        }
        // All of an HTTP/1 answer is with the system, whose buffer is full: no request, and yet work that may be lost.
        if traffic.in_flight.is_empty() && traffic.blocked_since.is_some() {
            unfinished.work.push(self.unread_response());
        }
        unfinished
    }

    /// The name of an answer that is complete and on its way.
    pub(crate) fn unread_response(&self) -> String {
        format!("response to {} that it does not read", self.peer)
    }
}

impl Traffic {
    /// Where a request is in the list.
    fn position(&self, number: u64) -> Option<usize> {
        self.in_flight
            .binary_search_by_key(&number, |flight| flight.number)
            .ok()
    }

    fn idle_since(&self) -> Option<Instant> {
        self.idle_since.filter(|_| self.blocked_since.is_none())
    }

    /// Begins to count idleness when there is no request left that is not cut off.
    fn look_idle(&mut self) {
        if self.idle_since.is_none() && self.in_flight.iter().all(Flight::is_cut) {
            self.idle_since = Some(Instant::now());
        }
    }
}

impl InFlight {
    /// Its service is polled for the first time.
    pub(crate) fn begin(&mut self) {
        self.begun = true;
    }

    /// What the connection is told at this moment.
    pub(crate) fn order(&self) -> Order {
        self.control.order()
    }

    /// There is an answer; `endless` says that it has no length.
    pub(crate) fn answered(&self, endless: bool) {
        self.control
            .note(self.number, |flight| flight.answered(endless));
    }

    /// The server asks for more, and there is none yet.
    pub(crate) fn source_waits(&self) {
        self.control.note(self.number, Flight::source_waits);
    }

    /// A piece goes to the server, which sends it when the client lets it, and drops it then.
    pub(crate) fn hand_over(&self) -> Piece {
        self.control.note(self.number, Flight::hand_over);
        Piece {
            control: self.control.clone(),
            number: self.number,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.control
            .note(self.number, |flight| flight.give(self.begun));
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.control.note(self.number, Flight::sent);
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
        let begin = || {
            control.arrives(
                &Method::GET,
                &Uri::from_static("/a?b"),
                Version::HTTP_11,
                true,
            )
        };
        a_second().await;
        assert_eq!(
            (idle(), control.is_idle(), control.has_had_one()),
            (Some(1), true, false)
        );
        let (first, last) = (begin(), begin());
        assert_eq!(
            (idle(), control.is_idle(), control.has_had_one()),
            (None, false, true)
        );
        drop(first);
        assert_eq!(
            (idle(), control.unfinished().work),
            (None, vec!["request GET /a".to_owned()])
        );
        control.set_blocked(true);
        drop(last);
        a_second().await;
        assert_eq!(
            (control.is_idle(), control.unfinished().work.len()),
            (false, 1)
        );
        assert_eq!(
            control
                .blocked_since()
                .map(|since| since.elapsed().as_secs()),
            Some(1)
        );
        control.set_blocked(false);
        assert_eq!(
            (idle(), control.is_idle(), control.unfinished().work.len()),
            (Some(0), true, 0)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_cut_off_for_its_client_and_not_for_its_source() {
        let (control, patience) = (control(), Duration::from_secs(3));
        let begin =
            |path| control.arrives(&Method::GET, &Uri::from_static(path), Version::HTTP_2, true);
        let (handler, events, deaf) = (begin("/handler"), begin("/events"), begin("/deaf"));
        events.answered(true);
        drop(events.hand_over());
        events.source_waits();
        deaf.answered(false);
        a_second().await;
        let (cut, next) = control.cut_unread(patience, Instant::now());
        assert_eq!(
            (cut.len(), next.map(|next| next - Instant::now())),
            (0, Some(Duration::from_secs(2)))
        );
        let piece = deaf.hand_over();
        a_second().await;
        a_second().await;
        assert!(
            control.cut_unread(patience, Instant::now()).0.is_empty(),
            "it came further a moment ago"
        );
        a_second().await;
        assert_eq!(
            control.cut_unread(patience, Instant::now()),
            (vec!["response to GET /deaf".to_owned()], None)
        );
        assert!(
            control.cut_unread(patience, Instant::now()).0.is_empty(),
            "once"
        );
        let unfinished = control.unfinished();
        assert_eq!(
            (unfinished.work, unfinished.streams),
            (
                vec!["request GET /handler".to_owned()],
                vec!["stream GET /events".to_owned()]
            )
        );
        drop((handler, events));
        assert!(control.is_idle(), "nothing is left but what is cut off");
        drop((deaf, piece));
        assert!(control.traffic().in_flight.is_empty(), "all of it is out");
    }
}
