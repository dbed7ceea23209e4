//! What the request layer costs beside the bare router, and beside a layer that does nothing: axum boxes a route
//! once more for any layer.

use std::{convert::Infallible, rc::Rc, time::Duration};

use axum::{Json, Router, body::Body, http::Request, routing::get};
use benches::{Contest, Side};
use http_body_util::BodyExt;
use nexios::{CancelToken, ThreadPool};
use nexios_axum::{RequestLayer, ShedLayer, Threshold};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};
use tower::{ServiceExt, layer::layer_fn};

type Named = (String, Box<dyn FnOnce() -> Contest>);

pub(crate) fn contests() -> Vec<Named> {
    let mut contests: Vec<Named> = Vec::new();
    for route in ["empty", "json", "yield"] {
        let name = format!("request/service/{route}");
        let title = name.clone();
        contests.push((name, Box::new(move || in_memory(title, route))));
    }
    for route in ["empty", "yield"] {
        let name = format!("request/socket/{route}");
        let title = name.clone();
        contests.push((name, Box::new(move || on_sockets(title, route))));
    }
    contests
}

fn runtime() -> Rc<Runtime> {
    let built = Builder::new_current_thread().enable_all().build();
    Rc::new(built.expect("a runtime can be built on a machine that runs benches"))
}

fn bare() -> Router {
    Router::new()
        .route("/empty", get(async || ()))
        .route("/json", get(async || Json("a short answer")))
        .route("/yield", get(async || tokio::task::yield_now().await))
}

fn with_nothing() -> Router {
    bare().layer(layer_fn(|inner: axum::routing::Route| inner))
}

fn with_layer() -> Router {
    bare().layer(RequestLayer::new())
}

/// As a service has it: a deadline and a shutdown.
fn with_everything() -> Router {
    bare().layer(
        RequestLayer::new()
            .deadline(Duration::from_secs(30))
            .shutdown(CancelToken::new()),
    )
}

/// A layer that asks a pool, which has nothing to do.
fn with_shedding() -> Router {
    let pool = ThreadPool::builder().threads(1).build();
    bare().layer(ShedLayer::new().watch(&pool, Threshold::Queued(64)))
}

async fn ask(app: &Router, path: &'static str) -> usize {
    let request = Request::get(path)
        .body(Body::empty())
        .expect("a path is a request");
    let response: Result<_, Infallible> = app.clone().oneshot(request).await;
    let Ok(response) = response;
    response
        .into_body()
        .collect()
        .await
        .map_or(0, |body| body.to_bytes().len())
}

fn in_memory(name: String, route: &'static str) -> Contest {
    let path: &'static str = match route {
        "empty" => "/empty",
        "json" => "/json",
        _ => "/yield",
    };
    let runtime = runtime();
    let side = |who, app: Router| {
        let runtime = runtime.clone();
        Side::new(who, move |repeats| {
            let app = app.clone();
            let task = runtime.spawn(async move {
                for _ in 0..repeats {
                    std::hint::black_box(ask(&app, path).await);
                }
            });
            runtime
                .block_on(task)
                .expect("a bench has no panic of its own");
        })
    };
    Contest::new(name, 1)
        .side(side("nexios", with_layer()).goal("a layer that does nothing", 1.5))
        .side(
            side("nexios, deadline and shutdown", with_everything())
                .goal("a layer that does nothing", 1.5),
        )
        .side(side("load shedding alone", with_shedding()))
        .side(side("a layer that does nothing", with_nothing()))
        .side(side("the bare router", bare()))
}

/// A server on loopback and connections that ask at the same time; all of it runs on one thread.
fn on_sockets(name: String, route: &'static str) -> Contest {
    const CONNECTIONS: usize = 16;
    let runtime = runtime();
    let side = |who, app: Router| {
        let runtime = runtime.clone();
        let head =
            format!("GET /{route} HTTP/1.1\r\nhost: x\r\naccept: */*\r\nuser-agent: bench\r\n\r\n");
        let connected = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            tokio::spawn(async move { axum::serve(listener, app).await });
            let mut clients = Vec::new();
            for _ in 0..CONNECTIONS {
                clients.push(TcpStream::connect(address).await?);
            }
            Ok::<_, std::io::Error>(clients)
        });
        let mut clients = connected.expect("loopback works on a machine that runs benches");
        Side::new(who, move |repeats| {
            runtime.block_on(async {
                let mut answer = [0; 1_024];
                for _ in 0..repeats {
                    for client in &mut clients {
                        client
                            .write_all(head.as_bytes())
                            .await
                            .expect("the server is there");
                    }
                    for client in &mut clients {
                        let count = client.read(&mut answer).await.expect("the server is there");
                        assert!(
                            answer[..count].starts_with(b"HTTP/1.1 200"),
                            "the answer is good"
                        );
                    }
                }
            });
        })
    };
    Contest::new(name, CONNECTIONS as u64)
        .without_allocations()
        .rounds(1_501)
        .side(side("nexios", with_layer()).goal("the bare router", 1.03))
        .side(
            side("nexios, deadline and shutdown", with_everything()).goal("the bare router", 1.03),
        )
        .side(side("a layer that does nothing", with_nothing()))
        .side(side("the bare router", bare()))
}
