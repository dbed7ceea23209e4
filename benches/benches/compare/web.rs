//! `/dashboard` under load: three parts fetched at the same time, over loopback with connections kept alive.
//!
//! Servers and clients share one runtime and its two threads, so what is measured is all the CPU time of a request.

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
    serve::ListenerExt,
};
use benches::{Contest, Side};
use nexios::{CancelToken, Interrupted, TaskGroup};
use nexios_axum::RequestLayer;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    task::{JoinSet, yield_now},
};

type Named = (String, Box<dyn FnOnce() -> Contest>);

const ASK: &[u8] = b"GET /dashboard/7 HTTP/1.1\r\nhost: bench\r\n\r\n";
/// Clients at the same time, each with a connection of its own.
const CLIENTS: usize = 32;
/// Throughput of at least 0.97 is a time of at most so much.
const GOAL: f64 = 1.031;

pub(crate) fn contests() -> Vec<Named> {
    vec![
        contest(
            "web/dashboard/parts_from_upstream/multi_thread/32",
            true,
            in_a_group_or_by_hand,
        ),
        contest(
            "web/dashboard/parts_after_one_yield/multi_thread/32",
            false,
            in_a_group_or_by_hand,
        ),
        contest(
            "web/dashboard/request_layer/multi_thread/32",
            true,
            with_the_layer_or_without,
        ),
    ]
}

#[derive(Serialize)]
struct Dashboard {
    user: User,
    posts: Vec<Post>,
    stats: Stats,
}

#[derive(Serialize)]
struct User {
    id: u32,
    name: String,
}

#[derive(Serialize)]
struct Post {
    id: u32,
    title: String,
}

#[derive(Serialize)]
struct Stats {
    views: u64,
}

/// Where the parts come from: a service on loopback, over connections that are kept; or nowhere.
#[derive(Clone, Default)]
struct Upstream {
    address: Option<SocketAddr>,
    idle: Arc<Mutex<Vec<TcpStream>>>,
}

impl Upstream {
    /// Waits as long as a call takes, or for one turn of the runtime.
    async fn call(&self) -> Result<(), Interrupted> {
        let Some(address) = self.address else {
            yield_now().await;
            return Ok(());
        };
        let idle = self
            .idle
            .lock()
            .expect("nothing panics under this lock")
            .pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => TcpStream::connect(address)
                .await
                .expect("the upstream listens"),
        };
        ask(&mut stream, b"GET /part HTTP/1.1\r\nhost: bench\r\n\r\n")
            .await
            .expect("it answers");
        self.idle
            .lock()
            .expect("nothing panics under this lock")
            .push(stream);
        Ok(())
    }

    async fn user(&self, id: u32) -> Result<User, Interrupted> {
        self.call().await?;
        Ok(User {
            id,
            name: format!("user {id}"),
        })
    }

    async fn posts(&self, id: u32) -> Result<Vec<Post>, Interrupted> {
        self.call().await?;
        Ok((0..3)
            .map(|number| Post {
                id: number,
                title: format!("post {number} of {id}"),
            })
            .collect())
    }

    async fn stats(&self, id: u32) -> Result<Stats, Interrupted> {
        self.call().await?;
        Ok(Stats {
            views: u64::from(id) * 10,
        })
    }
}

type Answer = Result<Json<Dashboard>, StatusCode>;

async fn in_a_group(State(upstream): State<Upstream>, Path(id): Path<u32>) -> Answer {
    let group = TaskGroup::<Interrupted>::new();
    let page = group.run(async {
        let user = group.spawn(upstream.user(id));
        let posts = group.spawn(upstream.posts(id));
        let stats = group.spawn(upstream.stats(id));
        Ok(Dashboard {
            user: user.await?,
            posts: posts.await?,
            stats: stats.await?,
        })
    });
    page.await.map(Json).map_err(|_| StatusCode::BAD_GATEWAY)
}

async fn by_hand(State(upstream): State<Upstream>, Path(id): Path<u32>) -> Answer {
    let (user, posts, stats) =
        tokio::join!(upstream.user(id), upstream.posts(id), upstream.stats(id));
    let page = || {
        Ok::<_, Interrupted>(Dashboard {
            user: user?,
            posts: posts?,
            stats: stats?,
        })
    };
    page().map(Json).map_err(|_| StatusCode::BAD_GATEWAY)
}

/// Asks once and reads the whole answer.
async fn ask(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<()> {
    stream.write_all(request).await?;
    let mut answer = [0; 2048];
    let mut read = 0;
    while !answer[..read].ends_with(b"}}") {
        match stream.read(&mut answer[read..]).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            more => read += more,
        }
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "a bench has no failing request"
    );
    Ok(())
}

async fn connect(address: SocketAddr) -> std::io::Result<Vec<TcpStream>> {
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    Ok(streams)
}

/// Serves `router` until the runtime ends.
async fn serve(router: Router) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        axum::serve(listener.tap_io(|io| drop(io.set_nodelay(true))), router).await
    });
    Ok(address)
}

fn side(who: &'static str, runtime: &Rc<Runtime>, router: Router) -> Side {
    let runtime = runtime.clone();
    let mut streams = runtime
        .block_on(async { connect(serve(router).await?).await })
        .expect("a loopback port is free");
    Side::new(who, move |repeats| {
        let mut clients = JoinSet::new();
        let _entered = runtime.enter();
        for mut stream in streams.drain(..) {
            clients.spawn(async move {
                for _ in 0..repeats {
                    ask(&mut stream, ASK).await.expect("the server answers");
                }
                stream
            });
        }
        streams = runtime.block_on(clients.join_all());
    })
}

/// Who competes on one runtime, with the parts from one place.
type Sides = fn(&Rc<Runtime>, Upstream) -> [Side; 2];

fn contest(name: &'static str, with_upstream: bool, sides: Sides) -> Named {
    (
        name.to_owned(),
        Box::new(move || dashboard(name, with_upstream, sides)),
    )
}

fn dashboard(name: &str, with_upstream: bool, sides: Sides) -> Contest {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = Rc::new(runtime.expect("a runtime can be built on a machine that runs benches"));
    let mut upstream = Upstream::default();
    if with_upstream {
        let part = Router::new().route("/part", get(async || r#"{"part":{"of":"a page"}}"#));
        upstream.address = Some(
            runtime
                .block_on(serve(part))
                .expect("a loopback port is free"),
        );
    }
    let [ours, theirs] = sides(&runtime, upstream);
    Contest::new(name, CLIENTS as u64)
        .side(ours)
        .side(theirs)
        .without_allocations()
}

fn in_a_group_or_by_hand(runtime: &Rc<Runtime>, upstream: Upstream) -> [Side; 2] {
    let ours = Router::new()
        .route("/dashboard/{id}", get(in_a_group))
        .with_state(upstream.clone());
    let theirs = Router::new()
        .route("/dashboard/{id}", get(by_hand))
        .with_state(upstream);
    [
        side("TaskGroup in the handler", runtime, ours).goal("tokio::join!", GOAL),
        side("tokio::join!", runtime, theirs),
    ]
}

/// As a service has it: a deadline and a shutdown.
fn with_the_layer_or_without(runtime: &Rc<Runtime>, upstream: Upstream) -> [Side; 2] {
    let bare = Router::new()
        .route("/dashboard/{id}", get(by_hand))
        .with_state(upstream);
    let requests = RequestLayer::new()
        .deadline(Duration::from_secs(30))
        .shutdown(CancelToken::new());
    [
        side("RequestLayer", runtime, bare.clone().layer(requests)).goal("bare router", GOAL),
        side("bare router", runtime, bare),
    ]
}
