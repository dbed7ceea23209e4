use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use axum::{Router, body::Body, http::Request, routing::get as on_get};
use futures_util::future::join_all;
use nexios::ThreadPool;
use nexios_axum::{RequestLayer, ShedLayer, Threshold};

use crate::{
    answer::{Answer, get},
    log,
    service::eventually,
};

/// A pool of one thread that works on something until the returned sender is dropped.
pub(crate) async fn busy() -> (ThreadPool, mpsc::Sender<()>) {
    let pool = ThreadPool::builder()
        .name("busy")
        .threads(1)
        .queue(64)
        .build();
    let (release, wait) = mpsc::channel();
    block(&pool, wait);
    (pool, release)
}

fn block(pool: &ThreadPool, wait: mpsc::Receiver<()>) {
    let Ok(running) = pool.try_run(move || wait.recv()) else {
        panic!("the pool is full")
    };
    tokio::spawn(running);
}

pub(crate) fn queue(pool: &ThreadPool, jobs: usize) {
    for _ in 0..jobs {
        let Ok(queued) = pool.try_run(|| ()) else {
            panic!("the pool is full")
        };
        tokio::spawn(queued);
    }
}

async fn until_idle(pool: &ThreadPool) {
    eventually(async || (pool.stats().running + pool.stats().queued == 0).then_some(())).await;
}

fn app(shed: ShedLayer) -> Router {
    Router::new().route("/shed", on_get(async || "let in").layer(shed))
}

#[tokio::test]
async fn a_queue_over_its_threshold_turns_requests_away_and_one_below_does_not() {
    let (pool, release) = busy().await;
    let shed = ShedLayer::new().watch(&pool, Threshold::Queued(3));
    let app = app(shed.clone());
    queue(&pool, 2);
    assert_eq!(Answer::from(&app, get("/shed")).await.status, 200);
    queue(&pool, 1);
    let answer = Answer::from(&app, get("/shed")).await;
    answer.problem(503);
    assert_eq!((answer.header("retry-after"), shed.shed()), (Some("1"), 1));
    drop(release);
    until_idle(&pool).await;
    assert_eq!(Answer::from(&app, get("/shed")).await.status, 200);
}

/// Makes the pool remember waits of about `wait`, and leaves it working with one job in the queue.
async fn slow_pool(wait: Duration) -> (ThreadPool, mpsc::Sender<()>) {
    let (pool, release) = busy().await;
    queue(&pool, 8);
    tokio::time::sleep(wait).await;
    drop(release);
    until_idle(&pool).await;
    let (release, wait) = mpsc::channel();
    block(&pool, wait);
    queue(&pool, 1);
    (pool, release)
}

#[tokio::test]
async fn a_long_wait_turns_requests_away_and_retry_after_is_what_it_takes() {
    let (pool, release) = slow_pool(Duration::from_millis(1_100)).await;
    let wait = pool.stats().wait_p50;
    assert!(wait > Duration::from_secs(1), "{wait:?}");
    let over = app(ShedLayer::new().watch(&pool, Threshold::QueueWait(Duration::from_secs(1))));
    let under = app(ShedLayer::new().watch(&pool, Threshold::QueueWait(Duration::from_secs(60))));
    let answer = Answer::from(&over, get("/shed")).await;
    answer.problem(503);
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert_eq!(Answer::from(&under, get("/shed")).await.status, 200);

    // Nobody waits any more: what was before must not keep requests out.
    drop(release);
    until_idle(&pool).await;
    assert!(pool.stats().wait_p50 > Duration::from_secs(1));
    assert_eq!(Answer::from(&over, get("/shed")).await.status, 200);
}

#[tokio::test]
async fn a_request_with_less_time_than_the_wait_is_refused_now() {
    let (pool, _release) = slow_pool(Duration::from_millis(300)).await;
    let app =
        app(ShedLayer::new().watch(&pool, Threshold::Queued(1_000))).layer(RequestLayer::new());
    let ask = async |milliseconds: &str| {
        let request = Request::get("/shed")
            .header("connect-timeout-ms", milliseconds)
            .body(Body::empty());
        Answer::from(&app, request.unwrap()).await
    };
    ask("100").await.problem(503);
    assert_eq!(ask("60000").await.status, 200);
    assert_eq!(
        Answer::from(&app, get("/shed")).await.status,
        200,
        "without a deadline there is time"
    );
}

#[tokio::test]
async fn any_of_several_pools_is_enough() {
    let (busy, _release) = busy().await;
    queue(&busy, 1);
    let idle = ThreadPool::builder().threads(1).build();
    let shed = ShedLayer::new()
        .watch(&idle, Threshold::Queued(1))
        .watch(&busy, Threshold::Queued(1));
    Answer::from(&app(shed), get("/shed")).await.problem(503);
    assert_eq!(
        Answer::from(&app(ShedLayer::new()), get("/shed"))
            .await
            .status,
        200
    );
}

/// axum makes a layer's service anew for each route, and for routes of a handler even for each call.
#[tokio::test]
async fn a_layer_on_a_router_and_one_on_a_route_really_limit() {
    for on_router in [true, false] {
        let pool = ThreadPool::builder().threads(1).queue(64).build();
        let open = Arc::new(AtomicBool::new(false));
        let shed = ShedLayer::new().watch(&pool, Threshold::Queued(2));
        let handler = {
            let (pool, open) = (pool.clone(), open.clone());
            on_get(async move || {
                let job = move || {
                    while !open.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                };
                pool.run(job).await.unwrap();
            })
        };
        let app = match on_router {
            true => Router::new().route("/limited", handler).layer(shed.clone()),
            false => Router::new().route("/limited", handler.layer(shed.clone())),
        };
        let requests: Vec<_> = (0..6)
            .map(|_| Answer::from(&app, get("/limited")))
            .collect();
        let opened = async {
            eventually(async || (shed.shed() > 0).then_some(())).await;
            open.store(true, Ordering::SeqCst);
        };
        let (answers, ()) = tokio::join!(join_all(requests), opened);
        let let_in = answers.iter().filter(|answer| answer.status == 200).count();
        // One runs and two wait; the fourth finds two waiting.
        assert_eq!((let_in, shed.shed()), (3, 3), "on the router: {on_router}");
    }
}

#[tokio::test]
async fn requests_that_are_turned_away_are_a_warning_that_names_the_pool() {
    log::start();
    let (release, wait) = mpsc::channel();
    let pool = ThreadPool::builder()
        .name("a pool for the log")
        .threads(1)
        .build();
    block(&pool, wait);
    queue(&pool, 1);
    let shed = ShedLayer::new().watch(&pool, Threshold::Queued(1));
    let app = app(shed);
    let said = || {
        let mut lines = log::lines_with("a pool for the log");
        lines.retain(|line| line["level"] == "WARN");
        lines
    };
    // Others' layers have their lines said as well, at most one a second of them all.
    let line = eventually(async || {
        Answer::from(&app, get("/shed")).await.problem(503);
        said().pop()
    })
    .await;
    assert!(line["count"].as_u64() >= Some(1), "{line}");
    assert_eq!(
        (&line["pool"], &line["waiting"]),
        (&"a pool for the log".into(), &1.into())
    );
    drop(release);
}
