use std::net::SocketAddr;

use axum::{Router, extract::ConnectInfo, routing::get};
use nexios_axum::{ListenAddress, NexiosApp};
use tokio::net::{TcpListener, UnixListener, UnixStream, unix::UCred};

use super::{Client, app, soon};

fn who() -> Router {
    Router::new().route(
        "/",
        get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()),
    )
}

async fn client_of<Kind: 'static>(
    app: NexiosApp,
    listen: impl nexios_axum::Listen<Kind> + 'static,
) {
    let handle = app.handle();
    let service = tokio::spawn(app.serve(listen));
    let address = soon(handle.ready()).await.unwrap();
    assert!(
        address.to_string().starts_with("http://127.0.0.1:"),
        "{address}"
    );
    let mut client = Client::connect(address.tcp().unwrap()).await;
    let own = client.stream.local_addr().unwrap().to_string();
    assert_eq!(client.get("/").await.body, own);
    handle.stop();
    assert!(soon(service).await.unwrap().unwrap().is_clean());
}

#[tokio::test]
async fn addresses_and_bound_listeners_are_served_with_connect_info() {
    client_of(app(who()), "127.0.0.1:0").await;
    client_of(app(who()), "127.0.0.1:0".to_owned()).await;
    client_of(app(who()), ("127.0.0.1", 0)).await;
    client_of(app(who()), SocketAddr::from(([127, 0, 0, 1], 0))).await;
    client_of(app(who()), TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
    client_of(
        app(who()),
        std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
    )
    .await;
}

#[tokio::test]
async fn a_unix_socket_is_served_with_the_credentials_of_its_client() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = std::env::temp_dir().join(format!("nexios-axum-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("service.sock");
    let router = Router::new().route(
        "/",
        get(async |ConnectInfo(peer): ConnectInfo<UCred>| {
            peer.pid().unwrap_or_default().to_string()
        }),
    );
    let app = app(router);
    let handle = app.handle();
    let service = tokio::spawn(app.serve(UnixListener::bind(&path).unwrap()));
    let address = soon(handle.ready()).await.unwrap();
    assert_eq!(address, ListenAddress::Unix(Some(path.clone())));
    assert_eq!(address.to_string(), format!("unix:{}", path.display()));
    let mut client = UnixStream::connect(&path).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut reply = String::new();
    soon(client.read_to_string(&mut reply)).await.unwrap();
    assert!(reply.ends_with(&std::process::id().to_string()), "{reply}");
    handle.stop();
    assert!(soon(service).await.unwrap().unwrap().is_clean());
    std::fs::remove_dir_all(folder).unwrap();
}
