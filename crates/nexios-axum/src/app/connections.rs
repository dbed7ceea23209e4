//! The open connections of a service, and what all of them are told.
//!
//! # Invariants
//!
//! 1. An order reaches everybody: it is written before the list is read, and a connection that comes is in the list
//!    before it reads the order.
//! 2. Connections are told outside the lock of the list: each order wakes a task, which may end and leave the list.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use super::{
    connection_control::{Control, Order, Unfinished},
    places::Place,
    register::{Entry, Register},
};

/// Of the connections that are idle so many are closed at once when places get scarce: an eighth, and at most 32,
/// as nginx does. Each search looks at all connections, and is paid for by more than one client.
const CLOSED_AT_ONCE: usize = 32;

/// The connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Register<Arc<Control>>,
    /// The latest [`Order`]: what a connection that is opened later is told first.
    order: AtomicU8,
    /// Answers that were cut off during the shutdown, by name.
    cut: Mutex<Vec<String>>,
}

/// Keeps a connection among the open ones.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    pub(crate) control: Arc<Control>,
    _entry: Entry<Arc<Control>>,
}

impl Connections {
    pub(crate) fn enter(&self, peer: String, place: Option<Place>) -> OpenConnection {
        let control = Arc::new(Control::new(peer, place));
        let entry = self.open.enter(control.clone());
        // After it is in the list: either `tell` finds it there, or it has written the order before.
        control.tell(self.order());
        OpenConnection {
            control,
            _entry: entry,
        }
    }

    fn order(&self) -> Order {
        // Acquire: pairs with `tell`.
        Order::from_byte(self.order.load(Ordering::Acquire))
    }

    /// Whether the service ends, and clients should go elsewhere.
    pub(crate) fn are_ending(&self) -> bool {
        self.order() >= Order::Drain
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Tells all connections, and all that come later.
    pub(crate) fn tell(&self, order: Order) {
        // Release: pairs with `order`.
        self.order.fetch_max(order as u8, Ordering::Release);
        self.open
            .values()
            .iter()
            .for_each(|control| control.tell(order));
    }

    /// Closes those that have been idle for the longest, of one peer or of all, and frees their places; false if
    /// none is idle.
    ///
    /// One that begins a request in this moment finishes it, without a place.
    pub(crate) fn close_idle(&self, peer: Option<IpAddr>) -> bool {
        let mut idle: Vec<_> = self
            .open
            .values()
            .into_iter()
            .filter_map(|control| Some((control.idle_in_place_of(peer)?, control)))
            .collect();
        let count = (idle.len() / 8).clamp(1, CLOSED_AT_ONCE);
        if idle.len() > count {
            idle.select_nth_unstable_by_key(count, |(since, _)| *since);
            idle.truncate(count);
        }
        let mut closed = false;
        for (_, control) in idle {
            control.tell(Order::DropIdle);
            closed |= control.give_place_up();
        }
        closed
    }

    pub(crate) async fn wait_until_none(&self) {
        self.open.wait_until_empty().await;
    }

    /// The requests in flight and the responses nobody reads, by name.
    pub(crate) fn unfinished(&self) -> Unfinished {
        let mut all = Unfinished::default();
        for control in self.open.values() {
            let unfinished = control.unfinished();
            all.work.extend(unfinished.work);
            all.streams.extend(unfinished.streams);
        }
        all
    }

    /// Notes answers that the shutdown has cut off.
    pub(crate) fn note_cut(&self, names: Vec<String>) {
        self.cut
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(names);
    }

    pub(crate) fn take_cut(&self) -> Vec<String> {
        std::mem::take(&mut *self.cut.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Here because who is told what is not to be seen from outside, but by the luck of a race.
#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::{Method, Uri, Version};

    use super::{super::places::Places, *};

    #[tokio::test]
    async fn a_connection_that_comes_after_an_order_is_told_too_and_orders_only_grow() {
        let connections = Connections::default();
        let connect = || connections.enter("somebody".to_owned(), None);
        let early = connect();
        assert_eq!(early.control.order(), Order::Serve);
        connections.tell(Order::Close);
        connections.tell(Order::Drain);
        assert_eq!(
            (early.control.order(), connect().control.order()),
            (Order::Close, Order::Close)
        );
        connections.tell(Order::Abort);
        assert_eq!(
            (early.control.order(), connect().control.order()),
            (Order::Abort, Order::Abort)
        );
        drop(early);
        assert_eq!(connections.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_the_idle_ones_go_first_and_busy_ones_stay() {
        let (connections, places) = (Connections::default(), Places::new(100, None));
        let connect = || connections.enter("somebody".to_owned(), Some(places.take(None).unwrap()));
        let mut open = Vec::new();
        for _ in 0..24 {
            open.push(connect());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let begin = |open: &OpenConnection| {
            open.control
                .arrives(&Method::GET, &Uri::from_static("/"), Version::HTTP_11, true)
        };
        let busy = begin(&open[0]);
        drop(begin(&open[1]));
        assert!(connections.close_idle(None));
        let told = |open: &[OpenConnection]| {
            let told = open
                .iter()
                .enumerate()
                .filter(|(_, open)| open.control.order() == Order::DropIdle);
            told.map(|(number, _)| number).collect::<Vec<_>>()
        };
        assert_eq!(
            told(&open),
            [2, 3],
            "an eighth of 23, by the time of their last request"
        );
        // Whoever has given its place up is not asked again.
        assert!(connections.close_idle(None));
        assert_eq!(told(&open), [2, 3, 4, 5]);
        drop(busy);
        assert!(
            !connections.close_idle(Some(std::net::Ipv4Addr::LOCALHOST.into())),
            "nobody from there"
        );
    }
}
