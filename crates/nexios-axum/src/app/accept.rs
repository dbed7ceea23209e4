//! The loop that lets clients in.
//!
//! # Invariants
//!
//! 1. A client that is accepted has a place, or is one of a few beyond the limit: nobody is accepted and kept waiting.
//! 2. The door closes when it is told to and nobody waits in front of it, or after so many clients as the queue may hold.

use std::{
    any::Any,
    collections::VecDeque,
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use axum::{extract::ConnectInfo, http::Extensions, serve::Listener};
use futures_util::future::{Either, select};
use tokio::{
    net::TcpStream,
    task::coop::consume_budget,
    time::{Instant, sleep},
};

use super::{
    connection::Server,
    connection_control::{Control, Order},
    listener::accept,
    places::{Place, Places, Scarce},
    socket::{Socket, notice_dead_peers},
};
use crate::{log::log, punctual::punctual, rationed_log::RationedLog};

/// How long to wait after the system would not give us a connection: the first time, and at most.
const PAUSE: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];

/// So many clients may have been in the system's queue when the door closes. More come as fast as they are let in.
const LAST_CLIENTS: usize = 4_096;

/// So many connections beyond the limit are open at a time. Each is there for one question about the health of the
/// service, so the oldest one that has to go for a new one has had its answer, or does not want it.
const BEYOND: usize = 64;

/// A search among all connections that finds none idle is not made again before: clients come faster than it goes.
const SEARCH_AGAIN: Duration = Duration::from_millis(10);

/// That places are scarce is not said again before.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// The door of a service.
pub(crate) struct Door {
    pub(crate) server: Arc<Server>,
    /// One for each connection that may come.
    pub(crate) places: Arc<Places>,
    /// How long a TCP peer may acknowledge nothing.
    pub(crate) silence: Duration,
    /// The connections beyond the limit, oldest first.
    beyond: VecDeque<Weak<Control>>,
    /// The system would not give us a connection.
    refusals: RationedLog,
    /// Of the clients that found no place: in all, and for a peer that has its share. Apart, so that one peer's rush does not
    /// silence what is said of all.
    turned_away: [RationedLog; 2],
    /// When a search among all connections last found none that was idle: of anybody, and of a peer that has its share.
    /// Apart, so that one peer's rush at the door keeps no place from the others.
    all_busy: [Option<Instant>; 2],
}

impl Door {
    pub(crate) fn new(server: Arc<Server>, places: Arc<Places>, silence: Duration) -> Self {
        Door {
            server,
            places,
            silence,
            beyond: VecDeque::new(),
            refusals: RationedLog::every(Duration::from_secs(1)),
            turned_away: [RationedLog::every(SAY_AGAIN), RationedLog::every(SAY_AGAIN)],
            all_busy: [None; 2],
        }
    }

    /// Lets clients in until the service closes; the listener closes with it.
    pub(crate) async fn stand_open<L>(mut self, mut listener: L)
    where
        L: Listener<Addr: Clone + fmt::Debug + Send + Sync + 'static>,
    {
        let closing = self.server.life.closing.clone();
        let mut closed = pin!(punctual(closing.cancelled()));
        let (mut pause, mut last_clients) = (PAUSE[0], LAST_CLIENTS);
        while last_clients > 0 {
            // Clients first: whoever has come until then is let in.
            let accepted = match select(pin!(accept(&mut listener)), closed.as_mut()).await {
                Either::Left((accepted, _)) => accepted,
                Either::Right(_) => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    pause = PAUSE[0];
                    self.let_in(stream, address);
                }
                Err(error) if is_the_client(&error) => {}
                // Too many open files, most of the time: trying again at once would only burn the processor.
                Err(error) => {
                    // Near the limit each client that leaves lets one in, and the next one is refused.
                    self.refusals.say(|count| {
                        tracing::error!(%error, ?pause, count, "cannot accept connections");
                    });
                    self.server.life.connections.close_idle(None);
                    if let Either::Left(_) =
                        select(closed.as_mut(), pin!(punctual(sleep(pause)))).await
                    {
                        return;
                    }
                    pause = (pause * 2).min(PAUSE[1]);
                }
            }
            if closing.is_cancelled() {
                last_clients -= 1;
            }
            // A listener that always has somebody and does not count would keep the shutdown from its turn.
            consume_budget().await;
        }
    }

    fn let_in<S, A>(&mut self, stream: S, address: A)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        A: Clone + fmt::Debug + Send + Sync + 'static,
    {
        let mut name = format!("{address:?}");
        let mut peer = Extensions::new();
        if let Some(tcp) = (&stream as &dyn Any).downcast_ref::<TcpStream>() {
            // One that fails leaves the others as they are.
            let options = [tcp.set_nodelay(true), notice_dead_peers(tcp, self.silence)];
            for error in options.into_iter().filter_map(Result::err) {
                log(|| tracing::debug!(%error, peer = %name, "socket options"));
            }
        }
        #[cfg(unix)]
        if let Some(unix) = (&stream as &dyn Any).downcast_ref::<tokio::net::UnixStream>() {
            let process = unix.peer_cred().ok();
            name = match process.and_then(|process| process.pid()) {
                Some(pid) => format!("process {pid}"),
                None => "a process".to_owned(),
            };
            if let Some(process) = process {
                peer.insert(ConnectInfo(process));
            }
        }
        let from = (&address as &dyn Any)
            .downcast_ref::<SocketAddr>()
            .map(SocketAddr::ip);
        peer.insert(ConnectInfo(address));

        let place = self.place(from);
        let beyond = place.is_none();
        let open = self.server.life.connections.enter(name, place);
        if beyond {
            open.control.tell(Order::Close);
            self.beyond.push_back(Arc::downgrade(&open.control));
            self.make_room_beyond();
        }
        let server = self.server.clone();
        tokio::spawn(server.connection(Socket::new(stream), peer, open, beyond));
    }

    /// A place for a connection from this address, if need be one of those that are idle; none if all are busy.
    fn place(&mut self, from: Option<IpAddr>) -> Option<Place> {
        loop {
            let peer = match self.places.take(from) {
                Ok(place) => return Some(place),
                Err(Scarce::Places) => None,
                Err(Scarce::PlacesOf(peer)) => Some(peer),
            };
            // Each round frees a place of the kind that there was none of.
            if !self.close_idle(peer) {
                self.say_that_all_are_busy(peer);
                return None;
            }
        }
    }

    fn close_idle(&mut self, peer: Option<IpAddr>) -> bool {
        let all_busy = &mut self.all_busy[usize::from(peer.is_some())];
        if all_busy.is_some_and(|searched| searched.elapsed() < SEARCH_AGAIN) {
            return false;
        }
        let closed = self.server.life.connections.close_idle(peer);
        *all_busy = (!closed).then(Instant::now);
        closed
    }

    fn say_that_all_are_busy(&self, peer: Option<IpAddr>) {
        let places = self.places.most();
        let whose = if peer.is_some() {
            "of one peer"
        } else {
            "of all"
        };
        self.turned_away[usize::from(peer.is_some())].say(|clients| {
            tracing::warn!(
                ?peer,
                clients,
                places,
                "all places {whose} are busy: further clients are only told about health"
            );
        });
    }

    /// Keeps those beyond the limit within theirs.
    fn make_room_beyond(&mut self) {
        self.beyond.retain(|control| control.strong_count() > 0);
        while self.beyond.len() > BEYOND {
            if let Some(control) = self.beyond.pop_front().and_then(|oldest| oldest.upgrade()) {
                control.tell(Order::Abort);
            }
        }
    }
}

/// Whether an accept failed because that client went away already.
fn is_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
