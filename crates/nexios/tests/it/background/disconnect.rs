//! Clients that go away, over real sockets: axum drops the handler's future, and nothing else is dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, routing::get};
use nexios::{Background, Interrupted, TaskGroup};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    time::timeout,
};

use super::{assert_idle, seconds};
use crate::lines::Lines;

/// More than anything here takes.
const LONG: Duration = seconds(10);

/// Serves `router` until the test ends, and connects to it.
async fn client_of(router: Router) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        .await
        .unwrap();
    client
}

#[derive(Clone)]
struct Children {
    live: Arc<AtomicUsize>,
    ended: mpsc::UnboundedSender<usize>,
}

/// One that is alive.
struct Child(Children);

impl Child {
    fn new(children: &Children) -> Self {
        children.live.fetch_add(1, Ordering::SeqCst);
        Self(children.clone())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let left = self.0.live.fetch_sub(1, Ordering::SeqCst) - 1;
        let _ = self.0.ended.send(left);
    }
}

/// RS-001: the ten children of a handler go with it, and nobody complains.
#[tokio::test]
async fn a_client_that_goes_away_takes_the_handlers_group_with_it() {
    async fn handler(State((children, started)): State<(Children, Arc<Notify>)>) -> &'static str {
        let group = TaskGroup::<Interrupted>::new();
        let ran = group.run(async {
            for _ in 0..10 {
                let child = Child::new(&children);
                drop(group.spawn(async move {
                    let _child = child;
                    std::future::pending::<Result<(), _>>().await
                }));
            }
            started.notify_one();
            Ok(())
        });
        ran.await.map_or("interrupted", |()| "done")
    }
    let (lines, _guard) = Lines::capture();
    let (ended, mut ends) = mpsc::unbounded_channel();
    let (children, started) = (
        Children {
            live: Arc::default(),
            ended,
        },
        Arc::new(Notify::new()),
    );
    let router = Router::new()
        .route("/", get(handler))
        .with_state((children.clone(), started.clone()));
    let client = client_of(router).await;
    timeout(LONG, started.notified()).await.unwrap();
    assert_eq!(children.live.load(Ordering::SeqCst), 10);
    drop(client);
    for left in (0..10).rev() {
        assert_eq!(timeout(LONG, ends.recv()).await.unwrap(), Some(left));
    }
    assert!(
        lines.take().is_empty(),
        "a client that leaves is nothing to log"
    );
}

/// BG-006: the client has its answer and is gone; the task that was started for it completes.
#[tokio::test]
async fn a_client_that_goes_away_after_the_answer_leaves_its_task_alone() {
    type Shared = (Background, Arc<Notify>, mpsc::UnboundedSender<&'static str>);
    async fn handler(State((background, go, done)): State<Shared>) -> &'static str {
        let task = background.spawn("mail", |cx| async move {
            go.notified().await;
            done.send(if cx.is_cancelled() {
                "cancelled"
            } else {
                "sent"
            })
        });
        task.map_or("refused", |_| "accepted")
    }
    let (done, mut outcome) = mpsc::unbounded_channel();
    let (background, go) = (Background::new(), Arc::new(Notify::new()));
    let router =
        Router::new()
            .route("/", get(handler))
            .with_state((background.clone(), go.clone(), done));
    let mut client = client_of(router).await;
    let mut answer = vec![0; 1024];
    let read = timeout(LONG, client.read(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(String::from_utf8_lossy(&answer[..read]).ends_with("accepted"));
    drop(client);
    assert_eq!(background.stats().running, 1);
    go.notify_one();
    assert_eq!(timeout(LONG, outcome.recv()).await.unwrap(), Some("sent"));
    let report = background
        .drain(nexios::Drain {
            wait: LONG,
            cancel: LONG,
        })
        .await;
    assert!(
        report.abandoned.is_empty() && report.cancelled.is_empty(),
        "{report:?}"
    );
    assert_eq!(background.stats().completed, 1);
    assert_idle(&background);
}
