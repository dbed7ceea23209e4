//! Limits beside handlers that are always ready, in real time: such code uses up tokio's budget in every poll.

use std::{future::Future, net::SocketAddr, time::Duration};

use axum::{Router, routing::get as on_get};
use nexios::{CancelReason, CancelToken};
use nexios_axum::{OnDisconnect, RequestLayer, RouteDeadline};
use tokio::{
    task::consume_budget,
    time::{Instant, sleep},
};

use crate::service::{eventually, read_until, send_get, serve};

/// So long the handlers are busy if nobody ends them; whoever waits for that is found out.
const BUSY: Duration = Duration::from_secs(6);
/// Far less, and far more than a loaded machine takes for a limit of 50 ms.
const IN_TIME: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_millis(50);

/// Always ready, in a cooperative way, as a loop over a full channel is.
async fn busy() {
    let began = Instant::now();
    while began.elapsed() < BUSY {
        consume_budget().await;
    }
}

/// Runs a test on two threads, and on the thread of the test alone.
fn on_both_runtimes<F: Future<Output = ()>>(test: impl Fn() -> F) {
    let mut two = tokio::runtime::Builder::new_multi_thread();
    let two = two.worker_threads(2).enable_all().build().unwrap();
    let one = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for runtime in [two, one] {
        runtime.block_on(test());
        runtime.shutdown_background();
    }
}

async fn expect_answer(address: SocketAddr, status: &str) {
    let began = Instant::now();
    let mut client = send_get(address, "/busy").await;
    let answer = read_until(&mut client, "}").await;
    assert!(answer.contains(status), "{answer}");
    assert!(began.elapsed() < IN_TIME, "after {:?}", began.elapsed());
}

#[test]
fn a_deadline_ends_a_busy_handler() {
    on_both_runtimes(async || {
        let layer = RequestLayer::new().deadline(LIMIT);
        let address = serve(Router::new().route("/busy", on_get(busy)).layer(layer)).await;
        expect_answer(address, "504").await;
    });
}

#[test]
fn the_deadline_of_a_route_ends_a_busy_handler() {
    on_both_runtimes(async || {
        let route = on_get(busy).layer(RouteDeadline::of(LIMIT));
        let address = serve(
            Router::new()
                .route("/busy", route)
                .layer(RequestLayer::new()),
        )
        .await;
        expect_answer(address, "504").await;
    });
}

#[test]
fn the_shutdown_ends_a_busy_handler() {
    on_both_runtimes(async || {
        let shutdown = CancelToken::new();
        let layer = RequestLayer::new().shutdown(shutdown.clone());
        tokio::spawn(async move {
            sleep(LIMIT).await;
            shutdown.cancel(CancelReason::Shutdown);
        });
        let address = serve(Router::new().route("/busy", on_get(busy)).layer(layer)).await;
        expect_answer(address, "503").await;
    });
}

/// A handler that is busy after it has waited once: so the client finds the time to leave.
async fn busy_later() {
    sleep(Duration::from_millis(100)).await;
    busy().await;
}

/// Leaves a request alone, and expects that its handler is dropped in time.
async fn expect_cut_off(layer: RequestLayer, policy: OnDisconnect, end: impl AsyncFn()) {
    let requests = layer.requests();
    let app = Router::new()
        .route("/busy", on_get(busy_later).layer(policy))
        .layer(layer);
    let address = serve(app).await;
    let client = send_get(address, "/busy").await;
    eventually(async || (requests.live() == 1).then_some(())).await;
    drop(client);
    eventually(async || (requests.rescued() == 1).then_some(())).await;
    let began = Instant::now();
    end().await;
    requests.idle().await;
    assert!(began.elapsed() < IN_TIME, "after {:?}", began.elapsed());
    assert_eq!(requests.stats().cut_off, 1);
}

#[test]
fn the_grace_ends_a_busy_handler() {
    on_both_runtimes(async || {
        let policy = OnDisconnect::Cooperative {
            grace: Duration::from_millis(300),
        };
        expect_cut_off(RequestLayer::new(), policy, async || {}).await;
    });
}

#[test]
fn the_deadline_and_the_grace_end_a_busy_detached_handler() {
    on_both_runtimes(async || {
        let layer = RequestLayer::new()
            .deadline(Duration::from_millis(300))
            .grace(LIMIT);
        expect_cut_off(layer, OnDisconnect::Detached, async || {}).await;
    });
}

#[test]
fn the_last_step_of_a_shutdown_ends_a_busy_rescued_handler() {
    on_both_runtimes(async || {
        let layer = RequestLayer::new().grace(Duration::from_secs(60));
        let requests = layer.requests();
        let policy = OnDisconnect::Cooperative {
            grace: Duration::from_secs(60),
        };
        expect_cut_off(layer, policy, async || {
            sleep(Duration::from_millis(200)).await;
            requests.abort_rescued();
        })
        .await;
    });
}

#[test]
fn whoever_waits_for_idleness_beside_busy_code_hears_of_it() {
    on_both_runtimes(async || {
        let layer = RequestLayer::new();
        let requests = layer.requests();
        let handler = on_get(async || sleep(Duration::from_millis(200)).await);
        let address = serve(Router::new().route("/busy", handler).layer(layer)).await;
        let _client = send_get(address, "/busy").await;
        eventually(async || (requests.live() == 1).then_some(())).await;
        let began = Instant::now();
        tokio::select! {
            biased;
            () = busy() => panic!("it was to be idle before"),
            () = requests.idle() => {}
        }
        assert!(began.elapsed() < IN_TIME, "after {:?}", began.elapsed());
    });
}
