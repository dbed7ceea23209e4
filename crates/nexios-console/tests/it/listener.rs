//! A listener of the console's own, and the end of the service that it looks at.

use std::{
    io::{self, ErrorKind},
    time::Duration,
};

use axum::Router;
use nexios::Background;
use nexios_axum::NexiosApp;
use nexios_console::Console;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

async fn ask(address: &str, path: &str) -> io::Result<TcpStream> {
    let mut client = TcpStream::connect(address).await?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    client.write_all(head.as_bytes()).await?;
    Ok(client)
}

async fn text(address: &str, path: &str) -> String {
    let mut text = String::new();
    ask(address, path)
        .await
        .unwrap()
        .read_to_string(&mut text)
        .await
        .unwrap();
    text
}

fn app(router: Router) -> NexiosApp {
    NexiosApp::new(router)
        .without_signals()
        .accepting(Duration::ZERO)
        .background(Background::new())
}

#[tokio::test]
async fn loopback_listens_on_this_machine_only() {
    let console = Console::builder().loopback().build();
    let error = console.clone().serve("0.0.0.0:0").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    assert_eq!(
        console.serve_on(listener).await.unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
}

#[cfg(feature = "app")]
#[tokio::test]
async fn its_own_listener_is_the_last_to_close() {
    use nexios_axum::Phase;
    let app = app(Router::new());
    let handle = app.handle();
    let console = Console::builder().loopback().app(&handle).build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let console = tokio::spawn(console.serve_on(listener));
    assert!(
        text(&address, "/")
            .await
            .contains("data-field=\"phase\">starting<")
    );
    let app = app.on_shutdown("look", {
        let address = address.clone();
        async move || {
            let page = text(&address, "/").await;
            assert!(
                page.contains("data-field=\"phase\">cancelling<") || page.contains(">closing<"),
                "{page}"
            );
        }
    });
    let service = tokio::spawn(app.serve("127.0.0.1:0"));
    handle.reached(Phase::Ready).await;
    assert!(
        text(&address, "/pools")
            .await
            .contains("data-field=\"phase\">ready<")
    );
    let mut events = ask(&address, "/events?topics=head").await.unwrap();
    handle.stop();
    let report = service.await.unwrap().unwrap();
    assert!(report.is_clean(), "{report:?}");
    let mut told = String::new();
    events.read_to_string(&mut told).await.unwrap();
    assert!(
        told.contains("event: bye\ndata: {\"phase\":\"stopped\"}"),
        "{told}"
    );
    console.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_nested_console_tells_goodbye_and_holds_up_no_shutdown() {
    let console = Console::builder().loopback().build();
    let app = app(Router::new().nest("/nexios", console.router()));
    let handle = app.handle();
    let service = tokio::spawn(app.serve("127.0.0.1:0"));
    let address = handle.ready().await.unwrap().to_string();
    let address = address.trim_start_matches("http://");
    assert!(
        text(address, "/nexios")
            .await
            .contains("data-field=\"phase\">ready<")
    );
    let mut events = ask(address, "/nexios/events?topics=head").await.unwrap();
    let mut first = [0; 16];
    events.read_exact(&mut first).await.unwrap();
    let stopped = std::time::Instant::now();
    handle.stop();
    let mut told = String::new();
    events.read_to_string(&mut told).await.unwrap();
    assert!(
        told.contains("event: bye\ndata: {\"phase\":\"closing\"}"),
        "{told}"
    );
    let report = service.await.unwrap().unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(stopped.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_console_for_admins_sees_the_whole_life_and_says_goodbye_last() {
    let console = Console::builder().loopback().build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (go_on, waits) = tokio::sync::oneshot::channel::<()>();
    let app = app(Router::new())
        .admin(listener, console.router())
        .on_startup("wait", async move || drop(waits.await));
    let handle = app.handle();
    let service = tokio::spawn(app.serve("127.0.0.1:0"));
    let starting = text(&address, "/").await;
    assert!(
        starting.contains("data-field=\"phase\">starting<"),
        "{starting}"
    );
    go_on.send(()).unwrap();
    handle.ready().await.unwrap();
    assert!(
        text(&address, "/")
            .await
            .contains("data-field=\"phase\">ready<")
    );
    let mut events = ask(&address, "/events?topics=head").await.unwrap();
    let mut first = [0; 16];
    events.read_exact(&mut first).await.unwrap();
    handle.stop();
    let mut told = String::new();
    events.read_to_string(&mut told).await.unwrap();
    assert!(
        told.contains("event: bye\ndata: {\"phase\":\"stopped\"}"),
        "{told}"
    );
    let report = service.await.unwrap().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn metrics_know_the_life_of_the_service_that_they_are_in() {
    let console = Console::builder().loopback().build();
    let metrics = nexios_console::Metrics::new();
    let app = app(Router::new()
        .nest("/nexios", console.router())
        .merge(metrics.router()));
    let handle = app.handle();
    let service = tokio::spawn(app.serve("127.0.0.1:0"));
    let address = handle.ready().await.unwrap().to_string();
    let address = address.trim_start_matches("http://");
    for path in ["/nexios/metrics", "/metrics"] {
        let told = text(address, path).await;
        assert!(
            told.contains("nexios_shutdown_state{state=\"ready\"} 1"),
            "{told}"
        );
        assert!(
            told.contains("nexios_shutdown_state{state=\"draining\"} 0"),
            "{told}"
        );
    }
    handle.stop();
    service.await.unwrap().unwrap();
}
