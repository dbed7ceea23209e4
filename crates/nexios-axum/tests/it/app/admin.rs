//! A listener for those who look after the service.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use axum::{Router, body::Body, routing::get};
use futures_util::{StreamExt, stream};
use nexios_axum::{NexiosApp, Phase, RequestLayer, ServeError, ServiceLife, WithoutAccessLog};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{Client, app, eventually, ms, soon, start};
use crate::log;

/// `/phase` says the service's, `/polite` is a stream that ends with its listener, `/endless` one that does not.
fn router() -> Router {
    let polite = async |life: ServiceLife| {
        let first = stream::iter([Ok::<_, Infallible>("first")]);
        let events = life.until_closing(first.chain(stream::pending()));
        Body::from_stream(events.chain(stream::iter([Ok("bye")])))
    };
    let endless = async || {
        let first = stream::iter([Ok::<_, Infallible>("first")]);
        Body::from_stream(first.chain(stream::pending()))
    };
    Router::new()
        .route(
            "/phase",
            get(async |life: ServiceLife| life.phase().as_str()),
        )
        .route("/polite", get(polite))
        .route("/endless", get(endless))
}

/// The service, and where its admins ask.
async fn with_admin(app: NexiosApp) -> (NexiosApp, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (app.admin(listener, router()), address)
}

async fn is_refused(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_err()
}

#[tokio::test]
async fn readiness_can_be_asked_before_the_startup_hooks_have_ended() {
    let go_on = Arc::new(Notify::new());
    let hook = go_on.clone();
    let (app, address) = with_admin(app(Router::new())).await;
    let app = app.on_startup("wait", async move || hook.notified().await);
    let handle = app.handle();
    let service = tokio::spawn(app.serve("127.0.0.1:0"));
    let mut client = Client::connect(address).await;
    let answer = client.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.body.contains("\"phase\":\"starting\""),
        "{}",
        answer.body
    );
    assert_eq!(client.get("/livez").await.status, 200);
    assert_eq!(client.get("/phase").await.body, "starting");
    go_on.notify_one();
    soon(handle.ready()).await.unwrap();
    assert_eq!(client.get("/readyz").await.status, 200);
    handle.stop();
    assert!(soon(service).await.unwrap().unwrap().is_clean());
}

#[tokio::test]
async fn a_startup_hook_that_holds_its_thread_holds_up_no_admin() {
    let (asked, was_asked) = std::sync::mpsc::channel::<u16>();
    let (app, address) = with_admin(app(Router::new())).await;
    let app = app.on_startup("busy", async move || {
        // Until an admin has had an answer.
        was_asked.recv_timeout(ms(10_000)).map(drop)
    });
    let handle = app.handle();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_all()
        .build()
        .unwrap();
    let service = runtime.spawn(async move {
        tokio::spawn(app.serve("127.0.0.1:0"))
            .await
            .unwrap()
            .map(drop)
    });
    let mut client = Client::connect(address).await;
    asked.send(client.get("/livez").await.status).unwrap();
    assert!(soon(handle.ready()).await.is_some());
    handle.stop();
    soon(service).await.unwrap().unwrap();
    runtime.shutdown_background();
}

#[tokio::test]
async fn it_answers_in_every_phase_and_to_the_shutdown_hooks_and_is_the_last_to_close() {
    let go_on = Arc::new(Notify::new());
    let slow = {
        let go_on = go_on.clone();
        get(async move || go_on.notified().await)
    };
    let (app, address) = with_admin(app(Router::new().route("/slow", slow))).await;
    let (tell, told) = oneshot::channel();
    let app = app.accepting(ms(100)).on_shutdown("ask", async move || {
        let _ = tell.send(Client::connect(address).await.get("/phase").await.body);
    });
    let running = start(app).await;
    let mut client = running.client().await;
    client.begin("/slow").await;
    let mut admin = Client::connect(address).await;
    assert_eq!(admin.get("/phase").await.body, "ready");
    running.handle.stop();
    for (phase, name) in [(Phase::Draining, "draining"), (Phase::Closing, "closing")] {
        soon(running.handle.reached(phase)).await;
        let answer = admin.get("/phase").await;
        assert_eq!(answer.body, name);
        assert!(!answer.says_close(), "nobody is sent away from here");
        assert_eq!(admin.get("/readyz").await.status, 503);
    }
    eventually(async || is_refused(running.address).await.then_some(())).await;
    assert_eq!(
        Client::connect(address).await.get("/phase").await.body,
        "closing"
    );
    go_on.notify_one();
    let report = running.ended().await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(told.await.unwrap(), "closing");
    assert!(is_refused(address).await);
    assert!(admin.rest().await.is_empty());
}

#[tokio::test]
async fn what_is_open_there_is_not_counted_and_does_not_delay_the_end() {
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let (app, address) = with_admin(app(Router::new()).requests(layer)).await;
    let running = start(app.shutdown_limit(ms(15_000))).await;
    let mut endless = Client::connect(address).await;
    endless.begin("/endless").await;
    endless.until(b"first").await;
    // Connected, and silent.
    let _silent = Client::connect(address).await;
    assert_eq!((running.handle.connections(), requests.live()), (0, 0));
    let begun = Instant::now();
    let report = running.stop().await;
    assert!(begun.elapsed() < ms(5_000), "it took {:?}", begun.elapsed());
    assert!(report.is_clean(), "{report:?}");
    assert!(report.cut_off.is_empty(), "{report:?}");
    assert!(requests.stats().started == 0);
    endless.rest().await;
}

#[tokio::test]
async fn a_stream_there_goes_on_until_the_service_has_stopped_and_says_goodbye() {
    let slow = get(async || tokio::time::sleep(ms(300)).await);
    let (app, address) = with_admin(app(Router::new().route("/slow", slow))).await;
    let running = start(app).await;
    let mut client = running.client().await;
    client.begin("/slow").await;
    let mut events = Client::connect(address).await;
    events.begin("/polite").await;
    events.until(b"first").await;
    let handle = running.handle.clone();
    let goodbye = tokio::spawn(async move {
        events.until(b"bye").await;
        handle.phase()
    });
    running.stop().await;
    assert_eq!(soon(goodbye).await.unwrap(), Phase::Stopped);
}

#[tokio::test]
async fn an_address_that_is_taken_ends_the_start_before_the_first_hook() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let app = app(Router::new())
        .admin(address, router())
        .on_startup("never", async || Err::<(), _>("it must not run"));
    let error = soon(app.serve("127.0.0.1:0")).await.unwrap_err();
    assert!(
        matches!(&error, ServeError::Listen { address: named, .. } if *named == address.to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn it_closes_after_a_start_that_failed_and_with_a_service_that_is_dropped() {
    let (failing, address) = with_admin(app(Router::new())).await;
    let failing = failing.on_startup("fails", async || Err::<(), _>("cold"));
    let error = soon(failing.serve("127.0.0.1:0")).await.unwrap_err();
    assert!(matches!(error, ServeError::Startup { .. }), "{error}");
    assert!(is_refused(address).await);

    let (app, address) = with_admin(app(Router::new())).await;
    let running = start(app).await;
    let mut admin = Client::connect(address).await;
    admin.begin("/endless").await;
    admin.until(b"first").await;
    running.abort().await;
    admin.rest().await;
    eventually(async || is_refused(address).await.then_some(())).await;
}

#[tokio::test]
async fn a_handler_there_that_panics_has_an_answer_and_each_call_adds_a_listener() {
    let (app, first) = with_admin(app(Router::new())).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = listener.local_addr().unwrap();
    let handler = async || {
        if true {
            panic!("no metrics");
        }
    };
    let running = start(app.admin(listener, Router::new().route("/metrics", get(handler)))).await;
    assert_eq!(
        Client::connect(second).await.get("/metrics").await.status,
        500
    );
    assert_eq!(
        Client::connect(second).await.get("/readyz").await.status,
        200
    );
    assert_eq!(
        Client::connect(first).await.get("/phase").await.body,
        "ready"
    );
    running.stop().await;
}

#[tokio::test]
async fn its_requests_have_lines_in_the_access_log_unless_the_layer_leaves_them_out() {
    log::start();
    let (seen, unseen) = ("/admin-log/seen", "/admin-log/unseen");
    let hello = || get(async || "hello");
    let router = Router::new()
        .route(seen, hello())
        .route(unseen, hello().layer(WithoutAccessLog));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let running = start(app(Router::new()).admin(listener, router)).await;
    let mut client = Client::connect(address).await;
    for path in [seen, unseen] {
        assert_eq!(client.get(path).await.body, "hello");
    }
    running.stop().await;
    assert_eq!(log::access_of_path(seen).len(), 1);
    assert!(log::access_of_path(unseen).is_empty());
}
