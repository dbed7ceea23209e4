//! Limits beside code that is always ready: it spends the budget that tokio gives a task for one turn, and what is
//! polled after it in the same turn says "pending", however late it is. In real time, as a paused clock stands still
//! while somebody is busy.

use std::{
    future::{pending, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use axum::{Router, routing::get, serve::Listener};
use futures_util::{StreamExt, future::join, stream};
use nexios::{CancelReason, CancelToken};
use nexios_axum::{Phase, RequestLayer, ServiceLife, until_cancelled};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::consume_budget,
};

use super::{app, ms, soon, start};

/// Longer than every limit here, and shorter than a test's patience.
const BUSY: u64 = 6_000;

/// Stands for any loop over something of tokio's that is always ready: a full channel, a fast socket.
async fn busy() {
    busy_until(async || false).await;
}

async fn busy_until(done: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < ms(BUSY) && !done().await {
        consume_budget().await;
    }
}

#[tokio::test]
async fn a_busy_shutdown_hook_is_given_up_at_the_limit_by_name() {
    let app = app(Router::new())
        .shutdown_limit(ms(500))
        .on_shutdown("flush", async || busy().await)
        .on_shutdown("last", async || {});
    let running = start(app).await;
    let begun = Instant::now();
    let report = running.stop().await;
    assert!(begun.elapsed() < ms(2_000), "{report:?}");
    assert_eq!(report.abandoned, ["shutdown hook flush"]);
}

#[tokio::test]
async fn a_further_stop_is_heard_beside_a_busy_shutdown_hook() {
    let app = app(Router::new())
        .shutdown_limit(ms(60_000))
        .on_shutdown("flush", async || busy().await);
    let handle = app.handle();
    let running = start(app).await;
    let begun = Instant::now();
    let stopper = std::thread::spawn(move || {
        for _ in 0..5 {
            handle.stop();
            std::thread::sleep(ms(100));
        }
    });
    let report = running.ended().await;
    assert!(begun.elapsed() < ms(4_000), "{report:?}");
    assert_eq!(report.abandoned, ["shutdown hook flush"]);
    stopper.join().unwrap();
}

#[tokio::test]
async fn a_stop_is_heard_beside_a_busy_startup_hook() {
    let app = app(Router::new()).on_startup("index", async || busy().await);
    let (handle, stopped) = (app.handle(), app.handle());
    let begun = Instant::now();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(ms(50));
        handle.stop();
    });
    // Beside others' code in one task, as some people serve.
    let others = async { busy_until(async || stopped.phase() == Phase::Stopped).await };
    let ((), report) = soon(join(others, app.serve("127.0.0.1:0"))).await;
    assert!(report.unwrap().is_clean());
    assert!(begun.elapsed() < ms(2_000), "{:?}", begun.elapsed());
    stopper.join().unwrap();
}

/// Leaves the rest of the task its turn, and does not count it.
async fn a_turn() {
    let mut taken = false;
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut taken, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// The budget is spent before ours is polled.
#[tokio::test]
async fn a_stream_hears_of_the_end_in_a_task_that_is_always_busy() {
    let token = CancelToken::new();
    let canceller = token.clone();
    let begun = Instant::now();
    std::thread::spawn(move || {
        std::thread::sleep(ms(50));
        canceller.cancel(CancelReason::Shutdown);
    });
    let items = stream::repeat(()).then(async |()| a_turn().await);
    let ended = AtomicBool::new(false);
    let reading = async {
        until_cancelled(&token, items).for_each(async |()| {}).await;
        ended.store(true, Ordering::Relaxed);
    };
    join(busy_until(async || ended.load(Ordering::Relaxed)), reading).await;
    assert!(begun.elapsed() < ms(2_000), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_wait_for_a_phase_ends_beside_a_busy_branch() {
    let running = start(app(Router::new()).accepting(ms(1_000))).await;
    let (handle, stopper) = (running.handle.clone(), running.handle.clone());
    let begun = Instant::now();
    std::thread::spawn(move || {
        std::thread::sleep(ms(50));
        stopper.stop();
    });
    let watching = tokio::spawn(async move {
        tokio::select! {
            biased;
            () = busy() => {}
            () = handle.reached(Phase::Draining) => {}
        }
    });
    soon(watching).await.unwrap();
    assert!(begun.elapsed() < ms(3_000), "{:?}", begun.elapsed());
    running.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_handlers_and_sockets_are_given_up_at_the_limit() {
    let work = async |life: ServiceLife| {
        tokio::spawn(join(busy(), life.track("feed").run(|_| pending())));
        "started"
    };
    let router = Router::new()
        .route("/busy", get(async || busy().await))
        .route("/socket", get(work));
    let app = app(router)
        .shutdown_limit(ms(800))
        .requests(RequestLayer::new().grace(ms(100)));
    let running = start(app).await;
    let handle = running.handle.clone();
    let (mut socket, mut client) = (running.client().await, running.client().await);
    assert_eq!(socket.get("/socket").await.body, "started");
    client.begin("/busy").await;
    tokio::time::sleep(ms(50)).await;
    let begun = Instant::now();
    let report = running.stop().await;
    assert!(begun.elapsed() < ms(3_000), "{report:?}");
    assert!(
        report.abandoned.contains(&"socket feed".to_owned()),
        "{report:?}"
    );
    assert_eq!(handle.sockets(), 0, "its work is dropped");
}

/// Somebody is always at this door, and no step of it is counted in a budget.
struct Rush(Arc<AtomicUsize>);

/// One of them, who has left already.
struct Gone;

impl AsyncRead for Gone {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gone {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Listener for Rush {
    type Io = Gone;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Gone, SocketAddr) {
        self.0.fetch_add(1, Ordering::Relaxed);
        (Gone, SocketAddr::from(([192, 0, 2, 1], 7)))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([192, 0, 2, 2], 80)))
    }
}

#[tokio::test]
async fn a_rush_at_the_door_keeps_neither_the_stop_nor_the_limits_from_their_turn() {
    let come = Arc::new(AtomicUsize::new(0));
    let flushed = Arc::new(AtomicBool::new(false));
    let done = flushed.clone();
    let app =
        app(Router::new()).on_shutdown("flush", async move || done.store(true, Ordering::Relaxed));
    let handle = app.handle();
    let service = tokio::spawn(app.serve(Rush(come.clone())));
    soon(handle.ready()).await;
    let begun = Instant::now();
    super::eventually(async || (come.load(Ordering::Relaxed) > 1_000).then_some(())).await;
    handle.stop();
    let report = soon(service).await.unwrap().unwrap();
    assert!(begun.elapsed() < ms(5_000), "{report:?}");
    assert!(
        flushed.load(Ordering::Relaxed) && report.is_clean(),
        "{report:?}"
    );
}
