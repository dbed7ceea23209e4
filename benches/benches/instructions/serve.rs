//! A request over a connection on loopback, the work of its client and of the runtime included. What the kernel does is
//! not counted.

use std::{io, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use nexios::{Background, CancelToken};
use nexios_axum::{NexiosApp, RequestLayer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};

use crate::contest::Contest;

pub(crate) fn contests() -> Vec<Contest> {
    vec![
        contest("serve/empty", "empty"),
        contest("serve/yield", "yield"),
    ]
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

    async fn connect(self) -> io::Result<TcpStream> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        self.start(listener);
        TcpStream::connect(address).await
    }
}

async fn ask(
    client: Arc<Mutex<Option<TcpStream>>>,
    server: Server,
    path: &str,
) -> io::Result<usize> {
    let mut client = client.lock().await;
    let stream = match &mut *client {
        Some(stream) => stream,
        none => none.insert(server.connect().await?),
    };
    let head =
        format!("GET /{path} HTTP/1.1\r\nhost: x\r\naccept: */*\r\nuser-agent: bench\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = [0; 1_024];
    let count = stream.read(&mut answer).await?;
    assert!(
        answer[..count].starts_with(b"HTTP/1.1 200"),
        "the answer is good"
    );
    Ok(count)
}

fn contest(name: &'static str, path: &'static str) -> Contest {
    let side = |server| {
        // One connection for all rounds.
        let client = Arc::default();
        move || {
            let client = Arc::clone(&client);
            async move {
                ask(client, server, path)
                    .await
                    .expect("loopback works on a machine that runs benches")
            }
        }
    };
    Contest::new(name, 1)
        .side("NexiosApp", side(Server::Nexios))
        .side("axum::serve, the same layer", side(Server::AxumWithLayer))
        .side("axum::serve", side(Server::Axum))
}
