//! The open connections of a service: which requests they carry, and how they are told to end.
//!
//! # Invariants
//!
//! 1. Orders only grow. Whoever gives one wakes the connection after it has been written.
//! 2. A request is in flight from its head until its response body is dropped; an upgraded connection is none.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::Waker,
};

use axum::http::{Method, Uri, Version};
use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::{
    life::Life,
    register::{Entry, Register},
};

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
    fn from_byte(byte: u8) -> Self {
        let all = [Order::Serve, Order::Drain, Order::Close, Order::DropIdle];
        all.into_iter().find(|order| *order as u8 == byte).unwrap_or(Order::Abort)
    }
}

/// The connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Register<Arc<Control>>,
    /// The latest [`Order`]: what a connection that is opened later is told first.
    order: AtomicU8,
}

/// What a connection and those who end it share.
#[derive(Debug)]
pub(crate) struct Control {
    /// Here for the requests, so that those of different connections count no references together.
    pub(crate) life: Arc<Life>,
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
    requests: Mutex<InFlight>,
}

#[derive(Debug, Default)]
struct InFlight {
    /// In the order of their arrival; there are few, so a list is enough.
    list: Vec<(u64, Method, Uri)>,
    /// How many have begun.
    begun: u64,
    /// When the last of them ended, unless another one goes on.
    idle_since: Option<Instant>,
}

/// Keeps a connection among the open ones.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    pub(crate) control: Arc<Control>,
    _entry: Entry<Arc<Control>>,
}

/// Keeps a request in flight.
#[derive(Debug)]
pub(crate) struct RequestInFlight {
    pub(crate) control: Arc<Control>,
    number: u64,
}

impl Connections {
    pub(crate) fn enter(&self, life: Arc<Life>, peer: String) -> OpenConnection {
        let control = Arc::new(Control {
            life,
            peer,
            order: AtomicU8::new(Order::Serve as u8),
            waker: AtomicWaker::new(),
            http2: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            requests: Mutex::new(InFlight { idle_since: Some(Instant::now()), ..InFlight::default() }),
        });
        let entry = self.open.enter(control.clone());
        // After it is in the list: either `tell` finds it there, or it has written the order before.
        control.tell(Order::from_byte(self.order.load(Ordering::Acquire)));
        OpenConnection { control, _entry: entry }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Tells all connections, and all that come later.
    pub(crate) fn tell(&self, order: Order) {
        // Release: pairs with the load in `enter`.
        self.order.fetch_max(order as u8, Ordering::Release);
        self.open.values().iter().for_each(|control| control.tell(order));
    }

    pub(crate) async fn wait_until_none(&self) {
        self.open.wait_until_empty().await;
    }

    /// The requests in flight and the responses nobody reads, by name.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        self.open.values().iter().flat_map(|control| control.unfinished()).collect()
    }
}

impl Control {
    fn requests(&self) -> MutexGuard<'_, InFlight> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub(crate) fn order(&self) -> Order {
        // Acquire: pairs with `tell`; who sees the order sees what was done before it was given.
        Order::from_byte(self.order.load(Ordering::Acquire))
    }

    fn tell(&self, order: Order) {
        // Release: pairs with `order`.
        self.order.fetch_max(order as u8, Ordering::Release);
        self.waker.wake();
    }

    /// A request begins.
    pub(crate) fn begin(self: &Arc<Self>, method: &Method, uri: &Uri, version: Version) -> RequestInFlight {
        // Relaxed, here and below: written and read by the task of the connection only.
        self.http2.store(version == Version::HTTP_2, Ordering::Relaxed);
        let mut requests = self.requests();
        let number = requests.begun;
        requests.begun += 1;
        requests.idle_since = None;
        requests.list.push((number, method.clone(), uri.clone()));
        drop(requests);
        RequestInFlight { control: self.clone(), number }
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    pub(crate) fn set_blocked(&self, blocked: bool) {
        if blocked == self.blocked.load(Ordering::Relaxed) {
            return;
        }
        self.blocked.store(blocked, Ordering::Relaxed);
        // A client that has read an answer to its end has all the time for its next request.
        if let Some(since) = &mut self.requests().idle_since {
            *since = Instant::now();
        }
    }

    /// When the wait for a request began; none while one is in flight.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.requests().idle_since
    }

    /// Whether a request has begun at any time.
    pub(crate) fn has_begun(&self) -> bool {
        self.requests().begun > 0
    }

    /// Whether no request is in flight and no response on its way.
    pub(crate) fn is_idle(&self) -> bool {
        !self.blocked.load(Ordering::Relaxed) && self.requests().list.is_empty()
    }

    /// The path says which work it was; the query may hold what is nobody's business.
    fn unfinished(&self) -> Vec<String> {
        let requests = self.requests();
        if requests.list.is_empty() && self.blocked.load(Ordering::Relaxed) {
            return vec![format!("response to {} that it does not read", self.peer)];
        }
        let name = |(_, method, uri): &(u64, Method, Uri)| format!("request {method} {}", uri.path());
        requests.list.iter().map(name).collect()
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        let mut requests = self.control.requests();
        requests.list.retain(|(number, _, _)| *number != self.number);
        if requests.list.is_empty() {
            requests.idle_since = Some(Instant::now());
        }
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
    use std::time::Duration;

    use super::*;

    fn connect(life: &Arc<Life>) -> OpenConnection {
        life.connections.enter(life.clone(), "somebody".to_owned())
    }

    #[tokio::test]
    async fn a_connection_that_comes_after_an_order_is_told_too_and_orders_only_grow() {
        let life = Arc::new(Life::new());
        let early = connect(&life);
        assert_eq!(early.control.order(), Order::Serve);
        life.connections.tell(Order::Close);
        life.connections.tell(Order::Drain);
        assert_eq!((early.control.order(), connect(&life).control.order()), (Order::Close, Order::Close));
        life.connections.tell(Order::Abort);
        assert_eq!((early.control.order(), connect(&life).control.order()), (Order::Abort, Order::Abort));
        drop(early);
        assert_eq!(life.connections.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn idleness_begins_when_the_last_answer_has_been_taken() {
        let life = Arc::new(Life::new());
        let control = connect(&life).control.clone();
        let idle = || control.idle_since().map(|since| since.elapsed().as_secs());
        let begin = || control.begin(&Method::GET, &Uri::from_static("/a?b"), Version::HTTP_11);
        let second = || tokio::time::advance(Duration::from_secs(1));
        second().await;
        assert_eq!((idle(), control.is_idle(), control.has_begun()), (Some(1), true, false));
        let (first, last) = (begin(), begin());
        assert_eq!((idle(), control.is_idle(), control.has_begun()), (None, false, true));
        drop(first);
        assert_eq!((idle(), control.unfinished()), (None, vec!["request GET /a".to_owned()]));
        control.set_blocked(true);
        drop(last);
        second().await;
        assert_eq!((control.is_idle(), control.unfinished().len()), (false, 1));
        control.set_blocked(false);
        assert_eq!((idle(), control.is_idle(), control.unfinished().len()), (Some(0), true, 0));
    }
}
