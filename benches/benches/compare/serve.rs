//! A whole service on loopback: `NexiosApp` beside `axum::serve`, which knows no phases and counts nothing.

use std::{rc::Rc, time::Duration};

use axum::{Router, routing::get};
use benches::{Contest, Side};
use nexios::{Background, CancelToken};
use nexios_axum::{NexiosApp, RequestLayer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

type Named = (String, Box<dyn FnOnce() -> Contest>);

const CONNECTIONS: usize = 16;

pub(crate) fn contests() -> Vec<Named> {
    let named = |route: &'static str| -> Named {
        let name = format!("serve/socket/{route}");
        let title = name.clone();
        (name, Box::new(move || on_sockets(title, route)))
    };
    vec![named("empty"), named("yield")]
}

fn router() -> Router {
    Router::new()
        .route("/empty", get(async || ()))
        .route("/yield", get(async || tokio::task::yield_now().await))
}

fn layer() -> RequestLayer {
    RequestLayer::new().deadline(Duration::from_secs(30))
}

#[derive(Clone, Copy)]
enum Server {
    Nexios,
    AxumWithLayer,
    Axum,
}

impl Server {
    fn start(self, listener: TcpListener) {
        match self {
            Server::Nexios => {
                let app = NexiosApp::new(router())
                    .requests(layer())
                    .background(Background::new());
                tokio::spawn(app.without_signals().serve(listener));
            }
            Server::AxumWithLayer => {
                let app = router().layer(layer().shutdown(CancelToken::new()));
                tokio::spawn(async move { axum::serve(listener, app).await });
            }
            Server::Axum => {
                tokio::spawn(async move { axum::serve(listener, router()).await });
            }
        }
    }
}

/// Connections that ask at the same time; clients and server run on one thread.
fn on_sockets(name: String, route: &'static str) -> Contest {
    let built = Builder::new_current_thread().enable_all().build();
    let runtime: Rc<Runtime> =
        Rc::new(built.expect("a runtime can be built on a machine that runs benches"));
    let side = |who, server: Server| {
        let runtime = runtime.clone();
        let head =
            format!("GET /{route} HTTP/1.1\r\nhost: x\r\naccept: */*\r\nuser-agent: bench\r\n\r\n");
        let connected = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            server.start(listener);
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
        .side(side("nexios", Server::Nexios).goal("axum::serve, the same layer", 1.03))
        .side(side("axum::serve, the same layer", Server::AxumWithLayer))
        .side(side("axum::serve", Server::Axum))
}
