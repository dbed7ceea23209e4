use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use axum::{Router, middleware::from_fn, routing::get};
use nexios_axum::{ListenAddress, NexiosApp, Phase, ServeError};
use tokio::net::{TcpListener, TcpStream};

use super::{Client, app, ms, soon, start};
use crate::log;

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

#[tokio::test]
async fn startup_hooks_run_in_order_before_the_address_is_listened_on() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (first, second) = (seen.clone(), seen.clone());
    let app = app(hello())
        .on_startup("first", async move || {
            tokio::time::sleep(ms(20)).await;
            let refused = TcpStream::connect(free).await.is_err();
            first.lock().unwrap().push(("first", refused));
        })
        .on_startup("second", async move || {
            let refused = TcpStream::connect(free).await.is_err();
            second.lock().unwrap().push(("second", refused));
            Ok::<_, String>(())
        });
    let handle = app.handle();
    assert_eq!(handle.phase(), Phase::Starting);
    let service = tokio::spawn(app.serve(free));
    assert_eq!(soon(handle.ready()).await, Some(ListenAddress::Tcp(free)));
    assert_eq!(*seen.lock().unwrap(), [("first", true), ("second", true)]);
    assert_eq!(Client::connect(free).await.get("/").await.body, "hello");
    handle.stop();
    assert!(soon(service).await.unwrap().unwrap().is_clean());
}

#[tokio::test]
async fn clients_of_a_bound_listener_wait_for_the_startup_hooks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let warm = Arc::new(AtomicBool::new(false));
    let (hook, handler) = (warm.clone(), warm.clone());
    let router = Router::new().route(
        "/",
        get(async move || handler.load(Ordering::Relaxed).to_string()),
    );
    let mut early = Client::connect(address).await;
    early.begin("/").await;
    let app = app(router).on_startup("warm", async move || {
        tokio::time::sleep(ms(50)).await;
        hook.store(true, Ordering::Relaxed);
    });
    let handle = app.handle();
    let service = tokio::spawn(app.serve(listener));
    assert_eq!(early.reply().await.body, "true");
    handle.stop();
    soon(service).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_startup_hook_that_fails_or_panics_ends_the_service_with_its_name() {
    let fails = async || Err::<(), _>("the database is away");
    let panics = async || -> () { panic!("no key {}", 7) };
    for (app, cause) in [
        (
            app(hello()).on_startup("open database", fails),
            "the database is away",
        ),
        (
            app(hello()).on_startup("open database", panics),
            "panicked: no key 7",
        ),
    ] {
        let later = Arc::new(AtomicBool::new(false));
        let (next, hook) = (later.clone(), later.clone());
        let app = app
            .on_startup("next", async move || next.store(true, Ordering::Relaxed))
            .on_shutdown("close", async move || hook.store(true, Ordering::Relaxed));
        let handle = app.handle();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let error = soon(app.serve(listener)).await.unwrap_err();
        assert!(matches!(&error, ServeError::Startup { hook, .. } if hook == "open database"));
        assert_eq!(
            error.to_string(),
            format!("startup hook \"open database\" failed: {cause}")
        );
        assert_eq!(handle.ready().await, None);
        assert_eq!(handle.phase(), Phase::Stopped);
        assert!(TcpStream::connect(address).await.is_err());
        assert!(
            !later.load(Ordering::Relaxed),
            "no hook runs after the one that failed"
        );
    }
}

/// What a hook has started before another one failed is not forgotten.
#[tokio::test]
async fn background_tasks_of_startup_hooks_hear_of_a_failed_start() {
    let background = nexios::Background::new();
    let (tasks, cleaned) = (background.clone(), Arc::new(AtomicBool::new(false)));
    let done = cleaned.clone();
    let app = NexiosApp::new(hello())
        .background(background)
        .without_signals()
        .on_startup("poller", async move || {
            let task = tasks.spawn("poll", |task| async move {
                task.cancelled().await;
                done.store(true, Ordering::Relaxed);
            });
            task.map(drop).map_err(|error| error.to_string())
        })
        .on_startup("broken", async || Err::<(), _>("broken"));
    let begun = std::time::Instant::now();
    assert!(soon(app.serve("127.0.0.1:0")).await.is_err());
    assert!(cleaned.load(Ordering::Relaxed));
    assert!(
        begun.elapsed() < ms(2_000),
        "nothing is waited for undisturbed"
    );
}

#[tokio::test]
async fn an_idle_schedule_ends_with_a_failed_start_by_itself_and_what_works_is_cancelled() {
    log::start();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for (names, warned) in [
        (vec!["idle at a failed start"], false),
        (vec!["idle beside work", "work at a failed start"], true),
    ] {
        let background = nexios::Background::new();
        let _schedule = background
            .every(names[0], ms(60_000), |_run| async {})
            .unwrap();
        let work = names.get(1).map(|name| {
            background
                .spawn(*name, async |task| task.cancelled().await)
                .unwrap()
        });
        let app = NexiosApp::new(hello())
            .background(background)
            .without_signals();
        let begun = std::time::Instant::now();
        assert!(soon(app.serve(taken.local_addr().unwrap())).await.is_err());
        assert!(begun.elapsed() < ms(1_000), "{:?}", begun.elapsed());
        assert!(!warned || work.unwrap().await.is_ok());
        let mut lines = log::lines_with("at a failed start");
        lines.retain(|line| line["level"] == "WARN");
        let unfinished: Vec<_> = lines.iter().map(|line| &line["unfinished"]).collect();
        match warned {
            false => assert!(unfinished.is_empty(), "{lines:?}"),
            true => {
                assert_eq!(
                    unfinished,
                    [r#"["background task work at a failed start"]"#]
                );
            }
        }
    }
}

#[tokio::test]
async fn told_to_stop_before_it_is_ready_a_service_never_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app(hello()).on_startup("slow", std::future::pending::<()>);
    let handle = app.handle();
    let service = tokio::spawn(app.serve(listener));
    tokio::task::yield_now().await;
    handle.stop();
    assert!(soon(service).await.unwrap().unwrap().is_clean());
    assert_eq!(handle.ready().await, None);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let taken = TcpListener::bind(taken).await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = soon(app(hello()).serve(address.clone())).await.unwrap_err();
    assert!(matches!(error, ServeError::Listen { .. }));
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn health_routes_are_outside_the_layers_of_the_router_and_can_be_named() {
    let closed = hello().layer(from_fn(
        |_: axum::extract::Request, _: axum::middleware::Next| {
            std::future::ready(axum::http::StatusCode::UNAUTHORIZED)
        },
    ));
    let running = start(app(closed.clone())).await;
    let mut client = running.client().await;
    assert_eq!(client.get("/").await.status, 401);
    let ready = client.get("/readyz").await;
    assert_eq!((ready.status, ready.body.as_str()), (200, "ready"));
    assert!(ready.head.contains("no-store"), "{}", ready.head);
    assert_eq!(client.get("/livez").await.status, 200);
    running.stop().await;

    let running = start(app(closed.clone()).readiness("/up").liveness("/alive")).await;
    let mut client = running.client().await;
    for (path, status) in [
        ("/up", 200),
        ("/alive", 200),
        ("/readyz", 401),
        ("/livez", 401),
    ] {
        assert_eq!(client.get(path).await.status, status, "{path}");
    }
    running.stop().await;

    let running = start(app(hello()).without_health()).await;
    assert_eq!(running.client().await.get("/readyz").await.status, 404);
    running.stop().await;
}

#[tokio::test]
async fn a_condition_that_does_not_hold_is_named_by_readiness_and_touches_nothing_else() {
    let holds = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let [store, index] = holds.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admins = listener.local_addr().unwrap();
    let app = app(hello())
        .admin(listener, Router::new())
        .ready_if("store", move || store.load(Ordering::Relaxed))
        .ready_if("index".to_owned(), move || index.load(Ordering::Relaxed));
    let running = start(app).await;
    for (unmet, met) in [
        (r#""unmet":["store","index"]"#, 0),
        (r#""unmet":["index"]"#, 1),
    ] {
        for address in [running.address, admins] {
            let mut client = Client::connect(address).await;
            let answer = client.get("/readyz").await;
            assert_eq!(answer.status, 503);
            assert!(answer.body.contains(unmet), "{}", answer.body);
            assert!(
                answer.body.contains(r#""phase":"ready""#),
                "{}",
                answer.body
            );
            let head = answer.head.to_ascii_lowercase();
            assert!(
                head.contains("no-store") && head.contains("retry-after"),
                "{head}"
            );
            assert_eq!(client.get("/livez").await.status, 200);
        }
        assert_eq!(running.client().await.get("/").await.body, "hello");
        holds[met].store(true, Ordering::Relaxed);
    }
    let ready = running.client().await.get("/readyz").await;
    assert_eq!((ready.status, ready.body.as_str()), (200, "ready"));
    running.stop().await;
}

#[tokio::test]
async fn a_condition_that_panics_does_not_hold_and_takes_nothing_down() {
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("once more");
        }
    }
    let app = app(hello())
        .ready_if("fails", || panic!("a bug"))
        .ready_if("fails worse", || std::panic::panic_any(PanicsInDrop));
    let running = start(app).await;
    let mut client = running.client().await;
    for _ in 0..2 {
        let answer = client.get("/readyz").await;
        assert_eq!(answer.status, 503);
        let unmet = r#""unmet":["fails","fails worse"]"#;
        assert!(answer.body.contains(unmet), "{}", answer.body);
    }
    assert_eq!(client.get("/").await.body, "hello");
    assert!(running.stop().await.is_clean());
}

#[tokio::test]
async fn questions_for_health_leave_no_line_in_the_access_log() {
    log::start();
    let (alive, hello) = ("/unlogged/alive", "/unlogged/hello");
    let router = Router::new().route(hello, get(async || "hello"));
    let running = start(app(router).liveness(alive)).await;
    let mut client = running.client().await;
    assert_eq!(client.get(alive).await.status, 200);
    assert_eq!(client.get(hello).await.status, 200);
    running.stop().await;
    assert_eq!(log::access_of_path(hello).len(), 1);
    assert!(log::access_of_path(alive).is_empty());
}

#[tokio::test]
async fn whoever_waits_for_a_service_that_is_dropped_unserved_hears_of_it() {
    let dropped = app(hello());
    let never_polled = app(hello());
    let handles = [dropped.handle(), never_polled.handle()];
    drop(dropped);
    drop(never_polled.serve("127.0.0.1:0"));
    for handle in handles {
        assert_eq!(soon(handle.ready()).await, None);
        assert_eq!(handle.phase(), Phase::Stopped);
    }
}

#[tokio::test]
async fn a_wrong_method_on_a_health_route_is_a_405_problem_that_tells_the_right_one() {
    let running = start(app(hello())).await;
    for path in ["/livez", "/readyz"] {
        let mut client = running.client().await;
        client
            .send(&format!(
                "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n"
            ))
            .await;
        let reply = client.reply().await;
        assert_eq!(reply.status, 405, "{}", reply.head);
        let head = reply.head.to_ascii_lowercase();
        assert!(
            head.contains("application/problem+json") && head.contains("allow: get,head"),
            "{head}"
        );
    }
    running.stop().await;
}
