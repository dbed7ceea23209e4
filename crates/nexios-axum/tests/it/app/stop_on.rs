//! Services that end with a future of the user's.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, routing::get};
use tokio::{sync::oneshot, time::Instant};

use super::{app, ms, soon, start};

fn slow() -> Router {
    let slow = get(async || {
        tokio::time::sleep(ms(300)).await;
        "slow"
    });
    Router::new().route("/slow", slow)
}

#[tokio::test]
async fn the_service_ends_in_order_when_the_first_of_the_futures_does() {
    let (stop, stopped) = oneshot::channel::<()>();
    let running = start(app(slow()).stop_on(pending::<()>()).stop_on(stopped)).await;
    let mut client = running.client().await;
    client.begin("/slow").await;
    tokio::time::sleep(ms(50)).await;
    stop.send(()).unwrap();
    let report = running.ended().await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.cause, "a future of `stop_on` ended");
    assert_eq!(client.reply().await.body, "slow");
}

#[tokio::test]
async fn a_future_that_ends_during_the_end_does_not_hurry_it() {
    let (stop, stopped) = oneshot::channel::<()>();
    let running = start(app(slow()).stop_on(stopped)).await;
    let mut client = running.client().await;
    client.begin("/slow").await;
    tokio::time::sleep(ms(50)).await;
    running.handle.stop();
    stop.send(()).unwrap();
    assert!(running.ended().await.is_clean());
    assert_eq!(client.reply().await.body, "slow", "it was not cancelled");
}

#[tokio::test]
async fn a_future_that_panics_ends_the_service_in_order_too() {
    let running = start(app(slow()).stop_on(async { panic!("lost the leadership") })).await;
    let report = running.ended().await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn a_future_ends_a_service_that_has_not_begun_and_is_dropped_with_it() {
    struct Gone(Arc<AtomicBool>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let dropped = Arc::new(AtomicBool::new(false));
    let other = Gone(dropped.clone());
    let app = app(slow())
        .on_startup("never", pending::<()>)
        .stop_on(async {
            let _other = other;
            pending::<()>().await;
        })
        .stop_on(tokio::time::sleep(ms(50)));
    let begun = Instant::now();
    assert!(soon(app.serve("127.0.0.1:0")).await.unwrap().is_clean());
    assert!(begun.elapsed() < ms(1_500));
    super::eventually(async || dropped.load(Ordering::Relaxed).then_some(())).await;
}
