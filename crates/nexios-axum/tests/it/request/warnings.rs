//! What clients can have happen as often as they like is a warning once a second, and a line at INFO for each.

use std::{future::pending, time::Duration};

use axum::{Router, routing::get as on_get};
use nexios_axum::RequestLayer;
use serde_json::Value;
use tokio::time::advance;

use crate::{
    answer::get,
    asking::ask,
    log::{access, lines_with},
};

fn app(route: &str, layer: RequestLayer) -> Router {
    Router::new()
        .route(route, on_get(pending::<()>))
        .layer(layer)
}

/// The warnings that name a request, and how many lines above INFO there are in all.
fn warnings(route: &str) -> Vec<Value> {
    let mut lines = lines_with(route);
    lines.retain(|line| line["level"] == "WARN" || line["level"] == "ERROR");
    lines
}

#[tokio::test(start_paused = true)]
async fn handlers_without_a_rescue_are_one_warning_a_second_with_their_number() {
    let route = "/warnings/unrescued";
    let app = app(route, RequestLayer::new().rescue_limit(0));
    for _ in 0..100 {
        drop(ask(&app, get(route)).await);
    }
    let said = warnings(route);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(
        (&said[0]["count"], &said[0]["request"]),
        (&1.into(), &format!("GET {route}").into())
    );
    advance(Duration::from_secs(1)).await;
    drop(ask(&app, get(route)).await);
    let said = warnings(route);
    assert_eq!(
        (said.len(), &said[1]["count"]),
        (2, &100.into()),
        "{said:?}"
    );
    let each = access(route)
        .iter()
        .filter(|line| line["message"].as_str().unwrap().starts_with("no rescue"))
        .count();
    assert_eq!(each, 101);
}

#[tokio::test(start_paused = true)]
async fn rescued_handlers_that_are_cut_off_are_one_warning_a_second_with_their_number() {
    let route = "/warnings/cut";
    let layer = RequestLayer::new().grace(Duration::from_millis(100));
    let requests = layer.requests();
    let app = app(route, layer);
    for round in 1..=2 {
        for _ in 0..100 {
            drop(ask(&app, get(route)).await);
        }
        requests.idle().await;
        let said = warnings(route);
        assert_eq!(said.len(), round, "{said:?}");
        advance(Duration::from_secs(1)).await;
    }
    let said = warnings(route);
    assert_eq!(
        (&said[0]["count"], &said[1]["count"]),
        (&1.into(), &100.into()),
        "{said:?}"
    );
    assert_eq!(requests.stats().cut_off, 200);
    let each = access(route)
        .iter()
        .filter(|line| line["cleanup"] == "cut off")
        .count();
    assert_eq!(each, 200);
}
