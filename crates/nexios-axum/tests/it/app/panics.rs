//! What the user's code around the service may do wrong: destructors and panics that have values which panic.

use std::{future::pending, panic::panic_any};

use axum::Router;

use super::{app, ms, soon, start};
use crate::asking::diary;

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("mop and bucket");
    }
}

async fn hangs() {
    let _panics = PanicsInDrop;
    pending::<()>().await;
}

async fn throws() {
    panic_any(PanicsInDrop);
}

#[tokio::test]
async fn a_shutdown_hook_that_is_cut_off_takes_no_other_along_whatever_its_destructors_do() {
    let (diary, mut reader) = diary();
    let app = app(Router::new())
        .on_shutdown("hangs", hangs)
        .on_shutdown("throws", throws)
        .on_shutdown("last", async move || diary.write("last"));
    let report = start(app.shutdown_limit(ms(600))).await.stop().await;
    assert_eq!(
        report.abandoned,
        ["shutdown hook hangs", "shutdown hook throws"]
    );
    assert_eq!(reader.written(), ["last"]);
}

#[tokio::test]
async fn a_startup_hook_that_is_cut_off_or_panics_ends_in_order_whatever_its_destructors_do() {
    let hanging = app(Router::new()).on_startup("hangs", hangs);
    let handle = hanging.handle();
    let service = tokio::spawn(hanging.serve("127.0.0.1:0"));
    tokio::time::sleep(ms(20)).await;
    handle.stop();
    assert!(soon(service).await.unwrap().unwrap().is_clean());
    let throwing = app(Router::new()).on_startup("throws", throws);
    let error = soon(throwing.serve("127.0.0.1:0")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "startup hook \"throws\" failed: panicked: a value that is no text"
    );
}

#[tokio::test]
async fn a_panic_whose_value_panics_is_one_panic() {
    let app = app(Router::new())
        .on_listening(|_| panic_any(PanicsInDrop))
        .stop_on(throws());
    let report = soon(app.serve("127.0.0.1:0")).await.unwrap();
    assert_eq!(
        (report.cause, report.is_clean()),
        ("a future of `stop_on` ended", true)
    );
}

/// `hooks_limit` and the others take whatever a configuration says.
#[tokio::test]
async fn limits_without_an_end_are_hurried_as_others_are() {
    let endless = std::time::Duration::MAX;
    let app = app(Router::new())
        .shutdown_limit(endless)
        .accepting(endless)
        .cancelling(endless)
        .hooks_limit(endless)
        .on_shutdown("hangs", pending::<()>);
    let running = start(app).await;
    for _ in 0..4 {
        running.handle.stop();
        tokio::time::sleep(ms(20)).await;
    }
    assert_eq!(running.ended().await.abandoned, ["shutdown hook hangs"]);
}
