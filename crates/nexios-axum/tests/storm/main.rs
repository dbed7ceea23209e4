//! Thousands of clients that leave. A process of its own, as it measures the memory of the process and drains what
//! all task groups of the process left behind.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::{
    future::{IntoFuture, pending},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Path, routing::get};
use futures_util::{StreamExt, stream};
use nexios::{Background, Drain, Interrupted, TaskGroup, ThreadPool};
use nexios_axum::{OnDisconnect, RequestLayer};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::{Notify, Semaphore},
    time::{sleep, timeout},
};

const STORM: usize = 5_000;
const WARM_UP: usize = 1_000;
const AT_ONCE: usize = 64;

/// Counts itself while it lives.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What the handlers share and the test looks at.
struct Shop {
    permits: Semaphore,
    pool: ThreadPool,
    /// Futures of children and finalizers that exist.
    alive: Arc<AtomicUsize>,
    /// Handlers that cleaned up.
    cleaned_up: AtomicUsize,
    /// Told by each request when its handler waits.
    waits: Vec<Notify>,
}

/// Holds a permit, two children, a job of a pool and a finalizer, and waits for ever.
async fn shopping(shop: Arc<Shop>, client: usize) {
    let _permit = shop.permits.acquire().await.unwrap();
    let group = TaskGroup::new();
    let (in_task, parallel, last) = (
        Alive::new(&shop.alive),
        Alive::new(&shop.alive),
        Alive::new(&shop.alive),
    );
    group.defer(async move {
        tokio::task::yield_now().await;
        drop(last);
    });
    let shopping = group.run(async {
        drop(group.spawn(async move {
            let _alive = in_task;
            pending::<Result<(), _>>().await
        }));
        drop(group.spawn_parallel(async move {
            let _alive = parallel;
            pending::<Result<(), _>>().await
        }));
        shop.waits[client].notify_one();
        // Half of the clients find a job of the pool under way, the others only the children.
        let _ = shop
            .pool
            .run(|| std::thread::sleep(Duration::from_micros(50)))
            .await;
        pending::<Result<(), Interrupted>>().await
    });
    assert!(shopping.await.is_err());
    sleep(Duration::from_millis(1)).await;
    shop.cleaned_up.fetch_add(1, Ordering::SeqCst);
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

async fn eventually(what: &str, happened: impl Fn() -> bool) {
    let waiting = async {
        while !happened() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap_or_else(|_| panic!("it never happened: {what}"));
}

/// Resident memory of this process, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_disconnects_leave_no_task_no_permit_no_leftover_and_no_memory() {
    let layer = RequestLayer::new()
        .deadline(Duration::from_secs(60))
        .grace(Duration::from_secs(10));
    let requests = layer.requests();
    let shop = Arc::new(Shop {
        permits: Semaphore::new(2 * AT_ONCE),
        pool: ThreadPool::builder().threads(1).queue(1_024).build(),
        alive: Arc::default(),
        cleaned_up: AtomicUsize::new(0),
        waits: (0..STORM).map(|_| Notify::new()).collect(),
    });
    let handler = {
        let shop = shop.clone();
        get(async move |Path(client): Path<usize>| shopping(shop, client).await)
    };
    let app = Router::new()
        .route("/careful/{client}", handler.clone())
        .route("/hasty/{client}", handler.layer(OnDisconnect::Immediate))
        .layer(layer);
    let address = serve(app).await;

    let visit = async |client: usize| {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let route = if client.is_multiple_of(4) {
            "hasty"
        } else {
            "careful"
        };
        let head = format!("GET /{route}/{client} HTTP/1.1\r\nhost: x\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        timeout(Duration::from_secs(20), shop.waits[client].notified())
            .await
            .expect("the handler never began");
    };
    let storm = async |clients: std::ops::Range<usize>| {
        stream::iter(clients)
            .for_each_concurrent(AT_ONCE, visit)
            .await;
        timeout(Duration::from_secs(20), requests.idle())
            .await
            .expect("it does not become idle");
    };
    storm(0..WARM_UP).await;
    let warm = resident();
    storm(WARM_UP..STORM).await;
    let grown = resident().saturating_sub(warm);

    let stats = requests.stats();
    assert_eq!(
        (stats.live, stats.rescued, stats.started),
        (0, 0, STORM as u64),
        "{stats:?}"
    );
    assert_eq!(
        (stats.disconnected, stats.rescues),
        (STORM as u64, STORM as u64 * 3 / 4),
        "{stats:?}"
    );
    assert_eq!(
        (stats.unrescued, stats.cut_off, stats.panicked),
        (0, 0, 0),
        "{stats:?}"
    );
    assert_eq!(shop.cleaned_up.load(Ordering::SeqCst), STORM * 3 / 4);
    assert_eq!(shop.permits.available_permits(), 2 * AT_ONCE);

    let report = Background::global()
        .drain(Drain {
            wait: Duration::from_secs(20),
            cancel: Duration::ZERO,
        })
        .await;
    assert!(report.abandoned.is_empty(), "{report:?}");
    assert_eq!(
        shop.alive.load(Ordering::SeqCst),
        0,
        "children and finalizers"
    );
    eventually("the pool is idle", || {
        shop.pool.stats().running + shop.pool.stats().queued == 0
    })
    .await;
    // One task is the server.
    eventually("no task is left", || {
        Handle::current().metrics().num_alive_tasks() == 1
    })
    .await;
    // 4,000 requests that kept 1 KiB each would be 4 MiB.
    assert!(
        grown < 4_096,
        "{grown} KiB more than after the first thousand"
    );
}
