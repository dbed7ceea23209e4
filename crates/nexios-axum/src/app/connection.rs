//! One connection, from its first byte to its last.
//!
//! # Invariants
//!
//! 1. It says "pending" only when it has a waker with everything that may end it: the protocol, the orders, the clock and,
//!    while the server reads nothing, the end of its peer. A step that changes one of them begins a new round.
//! 2. What is ours is polled punctually: a request that is always ready would else keep the clock from ever being due.
//! 3. Dropping the task's future drops the socket and the HTTP/1 request with it; HTTP/2 requests end by their streams.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    http::{Extensions, Request},
};
use hyper::{
    body::{Body, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    connection_control::{Control, Order},
    connections::OpenConnection,
    life::Life,
    response::{answer, until_cut, upgraded},
    service_life::ServiceLife,
    socket::{Socket, WatchedSocket, gone},
};
use crate::{log::log, punctual::poll_punctual};

/// How often an HTTP/2 client is asked whether it is there, and how long it may take to answer.
const HTTP2_KEEP_ALIVE: Duration = Duration::from_secs(20);

/// An HTTP/2 connection may be idle for so long at least: it takes more round trips to make a new one, and its client
/// hears of the end by a message.
const LEAST_HTTP2_IDLENESS: Duration = Duration::from_secs(1);

/// How long an HTTP/2 client may take to hear of the end.
const LAST_MESSAGE: Duration = Duration::from_millis(500);

/// How long a client may take for a byte of its answer while the service ends.
const LAST_READ: Duration = Duration::from_secs(5);

/// How long a connection beyond the limit may take for the head of its request.
const HEAD_BEYOND: Duration = Duration::from_secs(2);

/// A connection that has nothing to do is not looked at more often, however short its limits are.
const LEAST_LOOK: Duration = Duration::from_millis(10);

/// What the connections of one service share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) life: Arc<Life>,
    /// For those that have a place.
    router: Router,
    /// For those beyond the limit.
    health: Router,
    /// How long a client may take for the head of a request.
    head: Duration,
    /// How long a client may take no byte of an answer.
    unread: Duration,
}

/// Spawns the requests of one HTTP/2 connection, and what becomes of those that are upgraded.
#[derive(Debug, Clone)]
struct Spawn(Arc<Control>);

impl<F> hyper::rt::Executor<F> for Spawn
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        if let Some(number) = upgraded() {
            let in_flight = self.0.upgrade(number);
            tokio::spawn(async move {
                let _in_flight = in_flight;
                task.await
            });
            return;
        }
        match self.0.take_spawning() {
            Some(number) => drop(tokio::spawn(until_cut(task, self.0.clone(), number))),
            None => drop(tokio::spawn(task)),
        }
    }
}

/// What the clock says of a connection.
enum Look {
    /// Nothing is late before.
    Again(Instant),
    /// The client is asked to open another connection.
    SayGoodbye,
    /// It has been idle for too long, or its client does not read.
    End,
}

impl Server {
    pub(crate) fn new(
        life: Arc<Life>,
        router: Router,
        health: Router,
        head: Duration,
        unread: Duration,
    ) -> Self {
        // A year is for ever, and no overflow.
        let [head, unread] =
            [head, unread].map(|limit| limit.min(Duration::from_secs(365 * 86_400)));
        Server {
            life,
            router,
            health,
            head,
            unread,
        }
    }

    fn protocol(&self, control: &Arc<Control>) -> auto::Builder<Spawn> {
        let mut protocol = auto::Builder::new(Spawn(control.clone()));
        // Hyper's own limit starts a timer for every request; ours looks when the time has come.
        protocol.http1().header_read_timeout(None);
        protocol
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(HTTP2_KEEP_ALIVE)
            .keep_alive_timeout(HTTP2_KEEP_ALIVE)
            // WebSockets over HTTP/2.
            .enable_connect_protocol();
        protocol
    }

    /// Serves one connection until it ends, or is told to; `peer` goes with each request. One `beyond` the limit is
    /// answered about the health of the service only, and once.
    pub(crate) async fn connection<S>(
        self: Arc<Self>,
        stream: Socket<S>,
        mut peer: Extensions,
        open: OpenConnection,
        beyond: bool,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let control = &open.control;
        let tcp = stream.tcp();
        let stream = TokioIo::new(WatchedSocket::new(stream, control.clone()));
        peer.insert(ServiceLife::new(self.life.clone()));
        let router = if beyond { &self.health } else { &self.router };
        let service = service_fn(|mut request: Request<Incoming>| {
            let complete = request.body().is_end_stream();
            let in_flight =
                control.arrives(request.method(), request.uri(), request.version(), complete);
            request.extensions_mut().extend(peer.clone());
            answer(router.clone(), request, in_flight)
        });
        let protocol = self.protocol(control);
        let mut connection = pin!(protocol.serve_connection_with_upgrades(stream, service));
        let head = if beyond {
            self.head.min(HEAD_BEYOND)
        } else {
            self.head
        };
        let mut clock = pin!(tokio::time::sleep(head.min(self.unread)));
        let mut hurried = false;
        let mut goodbye = None;
        // The end of the peer, and the request in flight for which it is watched.
        let (mut end_of_peer, mut watched) = (pin!(None), None);
        let serve = poll_fn(|cx| {
            // Before the look at the order, so that an order in between wakes us again.
            control.register(cx.waker());
            loop {
                // The protocol first: what it reads and writes decides what all the others find.
                if let Poll::Ready(end) = connection.as_mut().poll(cx) {
                    if let Err(error) = end {
                        log(|| tracing::debug!(error, "connection ended"));
                    }
                    return Poll::Ready(());
                }
                // A server that waits for bytes hears of the end by itself; one whose buffer is full of the next
                // request would go on with this one for nobody.
                if let Some(tcp) = tcp.as_ref().filter(|_| !control.is_reading()) {
                    let current = control.current();
                    // A new watch for each request: whether a close is the end depends on what is still to come of it.
                    if current != watched {
                        watched = current;
                        end_of_peer.set(current.map(|(_, complete)| gone(tcp.clone(), complete)));
                    }
                    if let Some(end) = end_of_peer.as_mut().as_pin_mut()
                        && poll_punctual(end, cx).is_ready()
                    {
                        log(|| tracing::debug!("the peer has gone before its answer"));
                        return Poll::Ready(());
                    }
                }
                let order = control.order();
                // The limits are shorter from now on, and the clock was set for the long ones.
                if order >= Order::DropIdle && !std::mem::replace(&mut hurried, true) {
                    clock.as_mut().reset(Instant::now());
                }
                if poll_punctual(clock.as_mut(), cx).is_ready() {
                    // A clock that is due may find that there was progress meanwhile: it is set once for many requests,
                    // and not again by each.
                    match self.look(control, head, goodbye) {
                        Look::Again(at) => clock.as_mut().reset(at),
                        Look::SayGoodbye => {
                            // An order, so that the step below does what it does for every other close.
                            control.tell(Order::Close);
                            clock.as_mut().reset(Instant::now() + LAST_MESSAGE);
                        }
                        Look::End => return Poll::Ready(()),
                    }
                    // The clock has no waker until it is polled again.
                    continue;
                }
                // HTTP/1 in its first head is left alone: the protocol would end it before the request that is on its way.
                let drain = order == Order::Drain && control.is_http2();
                if goodbye.is_none() && (drain || order >= Order::Close && control.has_had_one()) {
                    let now = Instant::now();
                    goodbye = Some(now);
                    connection.as_mut().graceful_shutdown();
                    // An idle client need not answer to it, and would stay until the long limit.
                    if control.is_http2() {
                        clock.as_mut().reset(now + LAST_MESSAGE);
                    }
                    // The message is written when the protocol is polled again.
                    continue;
                }
                let end = order == Order::Abort || order == Order::DropIdle && control.is_idle();
                return if end { Poll::Ready(()) } else { Poll::Pending };
            }
        });
        serve.await;
    }

    /// Looks whether the client is late with something; `goodbye` is when it was told of the end.
    fn look(&self, control: &Control, head: Duration, goodbye: Option<Instant>) -> Look {
        let now = Instant::now();
        let hurried = control.order() >= Order::DropIdle;
        let unread = if hurried {
            self.unread.min(LAST_READ)
        } else {
            self.unread
        };
        let ending = self.life.connections.are_ending();
        let mut next = now + head.min(unread).max(LEAST_LOOK);
        // HTTP/1, and whatever else the socket has accepted and cannot get rid of.
        if let Some(since) = control.blocked_since() {
            if since + unread <= now {
                if ending {
                    self.life
                        .connections
                        .note_cut(vec![control.unread_response()]);
                }
                return Look::End;
            }
            next = next.min(since + unread);
        }
        // HTTP/2 is never blocked by one answer, so each has a limit of its own.
        let (cut, due) = control.cut_unread(unread, now);
        if !cut.is_empty() {
            if ending {
                self.life.connections.note_cut(cut);
            }
            // It may be that not even the end of them can be sent, so the connection ends when it is idle.
            return Look::SayGoodbye;
        }
        next = due.map_or(next, |due| next.min(due));
        if let Some(since) = control.idle_since() {
            let http2 = control.is_http2();
            // After a goodbye only the message is waited for, from whichever came later.
            let limit = match goodbye {
                Some(told) if http2 => since.max(told) + LAST_MESSAGE,
                _ if http2 => since + head.max(LEAST_HTTP2_IDLENESS),
                _ => since + head,
            };
            if limit <= now {
                return if http2 && goodbye.is_none() {
                    Look::SayGoodbye
                } else {
                    Look::End
                };
            }
            next = next.min(limit);
        }
        Look::Again(next)
    }
}

/// Here because how often a connection looks is not to be seen from outside.
#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_not_looked_at_all_the_time_however_short_its_limits() {
        let (head, unread) = (Duration::from_secs(30), Duration::ZERO);
        let server = Server::new(
            Arc::new(Life::new()),
            Router::new(),
            Router::new(),
            head,
            unread,
        );
        let control = Control::new("somebody".to_owned(), None);
        match server.look(&control, head, None) {
            Look::Again(at) => assert_eq!(at - Instant::now(), LEAST_LOOK),
            Look::SayGoodbye | Look::End => panic!("it has not been idle for long"),
        }
    }
}
