//! Deadlines of requests: who sets them, and what happens when they pass.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    http::Request,
    middleware::{Next, from_fn},
    routing::get as on_get,
};
use nexios_axum::{
    Deadline, DeadlineHeader, OnDisconnect, RequestLayer, RequestToken, RouteDeadline,
};
use tokio::time::{Instant, sleep};

use crate::{
    answer::{Answer, get},
    asking::diary,
    log,
};

const GRPC: &str = "grpc-timeout";
const CONNECT: &str = "connect-timeout-ms";
const ENVOY: &str = "x-envoy-expected-rq-timeout-ms";

fn with(uri: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = headers
        .iter()
        .fold(Request::get(uri), |request, (name, value)| {
            request.header(*name, *value)
        });
    request.body(Body::empty()).unwrap()
}

/// Answers with what it knows of its deadline.
fn telling() -> axum::routing::MethodRouter {
    on_get(async |deadline: Deadline| {
        let ambient = Deadline::current();
        assert_eq!(
            ambient.at(),
            deadline.at(),
            "the scope has the same deadline"
        );
        format!("{:?} {:?}", deadline.remaining(), deadline.source())
    })
}

#[tokio::test(start_paused = true)]
async fn the_earliest_wins_and_a_client_can_only_shorten() {
    let app = Router::new().route("/deadline/earliest", telling());
    let limited = app
        .clone()
        .layer(RequestLayer::new().deadline(Duration::from_secs(10)));
    let unlimited = app.layer(RequestLayer::new());
    let ask = async |app: &Router, headers: &[(&str, &str)]| {
        Answer::from(app, with("/deadline/earliest", headers))
            .await
            .body
    };
    assert_eq!(ask(&unlimited, &[]).await, "None None");
    assert_eq!(ask(&limited, &[]).await, "Some(10s) Some(Server)");
    assert_eq!(
        ask(&limited, &[(GRPC, "20S")]).await,
        "Some(10s) Some(Server)"
    );
    assert_eq!(
        ask(&unlimited, &[(GRPC, "20S")]).await,
        "Some(20s) Some(Client(GrpcTimeout))"
    );
    assert_eq!(
        ask(&limited, &[(GRPC, "2S")]).await,
        "Some(2s) Some(Client(GrpcTimeout))"
    );
    assert_eq!(
        ask(&limited, &[(CONNECT, "1500")]).await,
        "Some(1.5s) Some(Client(ConnectTimeoutMs))"
    );
    assert_eq!(
        ask(&limited, &[(ENVOY, "750")]).await,
        "Some(750ms) Some(Client(EnvoyExpectedTimeoutMs))"
    );
    let all = [(GRPC, "3S"), (CONNECT, "1500"), (ENVOY, "2000")];
    assert_eq!(
        ask(&limited, &all).await,
        "Some(1.5s) Some(Client(ConnectTimeoutMs))"
    );
    assert_eq!(
        ask(&limited, &[(GRPC, "3S"), (GRPC, "1S")]).await,
        "Some(1s) Some(Client(GrpcTimeout))"
    );
}

#[tokio::test(start_paused = true)]
async fn malformed_headers_are_ignored_and_counted() {
    log::start();
    let layer = RequestLayer::new();
    let requests = layer.requests();
    let app = Router::new()
        .route("/deadline/malformed", telling())
        .layer(layer);
    let malformed = [(GRPC, "soon"), (CONNECT, "-1"), (ENVOY, "1.5")];
    assert_eq!(
        Answer::from(&app, with("/deadline/malformed", &malformed))
            .await
            .body,
        "None None"
    );
    assert_eq!(requests.stats().malformed_deadlines, 3);
    let mixed = [(GRPC, "soon"), (CONNECT, "900")];
    let answer = Answer::from(&app, with("/deadline/malformed", &mixed)).await;
    assert_eq!(answer.body, "Some(900ms) Some(Client(ConnectTimeoutMs))");
    assert_eq!(requests.stats().malformed_deadlines, 4);
    assert!(
        log::lines_with("a deadline that cannot be read")
            .iter()
            .any(|line| line["header"] == ENVOY)
    );
}

#[tokio::test(start_paused = true)]
async fn only_the_chosen_headers_are_read() {
    let layer = RequestLayer::new().deadline_headers([DeadlineHeader::GrpcTimeout]);
    let app = Router::new()
        .route("/deadline/chosen", telling())
        .layer(layer);
    let headers = [(CONNECT, "1"), (ENVOY, "1"), (GRPC, "1S")];
    let answer = Answer::from(&app, with("/deadline/chosen", &headers)).await;
    assert_eq!(answer.body, "Some(1s) Some(Client(GrpcTimeout))");
}

#[tokio::test(start_paused = true)]
async fn an_expired_request_is_504_without_running() {
    for (name, value) in [(GRPC, "0n"), (CONNECT, "0"), (ENVOY, "0")] {
        let (diary, mut reader) = diary();
        let layer = RequestLayer::new();
        let requests = layer.requests();
        let app = Router::new()
            .route("/deadline/zero", on_get(async move || diary.write("ran")))
            .layer(layer);
        Answer::from(&app, with("/deadline/zero", &[(name, value)]))
            .await
            .problem(504);
        assert!(reader.written().is_empty(), "{name}");
        assert_eq!((requests.stats().expired, requests.live()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn expiry_is_504_on_time_and_the_cleanup_goes_on_as_a_rescued_one() {
    let (diary, mut reader) = diary();
    let layer = RequestLayer::new().deadline(Duration::from_secs(3));
    let requests = layer.requests();
    let handler = async move |token: RequestToken| {
        diary.write(token.cancelled().await);
        sleep(Duration::from_secs(1)).await;
        diary.write("cleaned up");
    };
    let app = Router::new()
        .route("/deadline/expiry", on_get(handler))
        .layer(layer);
    let begun = Instant::now();
    let answer = Answer::from(&app, get("/deadline/expiry")).await;
    answer.problem(504);
    assert_eq!(
        (begun.elapsed(), requests.rescued()),
        (Duration::from_secs(3), 1)
    );
    requests.idle().await;
    assert_eq!(reader.written(), ["Deadline", "cleaned up"]);
    let stats = requests.stats();
    assert_eq!(
        (
            stats.expired,
            stats.rescues,
            stats.disconnected,
            stats.cut_off
        ),
        (1, 1, 0, 0)
    );
    let lines = log::access("/deadline/expiry");
    assert_eq!(
        (&lines[0]["status"], &lines[1]["cleanup"]),
        (&504.into(), &"finished".into())
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_handler_says_in_that_turn_is_the_answer() {
    let handler = async |token: RequestToken| {
        token.cancelled().await;
        "as far as I came"
    };
    let layer = RequestLayer::new().deadline(Duration::from_secs(3));
    let requests = layer.requests();
    let app = Router::new()
        .route("/deadline/partial", on_get(handler))
        .layer(layer);
    let answer = Answer::from(&app, get("/deadline/partial")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (200, "as far as I came")
    );
    assert_eq!((requests.stats().expired, requests.stats().rescues), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_immediate_handler_is_dropped_at_its_deadline() {
    let (diary, mut reader) = diary();
    let handler = async move || {
        let _dropped = diary.at_drop("dropped");
        std::future::pending::<()>().await;
    };
    let layer = RequestLayer::new().deadline(Duration::from_secs(3));
    let requests = layer.requests();
    let app = Router::new()
        .route(
            "/deadline/now",
            on_get(handler).layer(OnDisconnect::Immediate),
        )
        .layer(layer);
    Answer::from(&app, get("/deadline/now")).await.problem(504);
    assert_eq!(
        (reader.written(), requests.stats().rescues),
        (vec!["dropped".to_owned()], 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_route_replaces_the_limit_of_the_server_in_both_directions() {
    let route = |limit: RouteDeadline| telling().layer(limit);
    let slow = on_get(async || sleep(Duration::from_secs(60)).await);
    let app = Router::new()
        .route(
            "/deadline/longer",
            route(RouteDeadline::of(Duration::from_secs(120))),
        )
        .route(
            "/deadline/shorter",
            route(RouteDeadline::of(Duration::from_secs(1))),
        )
        .route("/deadline/none", route(RouteDeadline::none()))
        .route(
            "/deadline/slow",
            slow.clone()
                .layer(RouteDeadline::of(Duration::from_secs(120))),
        )
        .route(
            "/deadline/slow-none",
            slow.clone().layer(RouteDeadline::none()),
        )
        .route(
            "/deadline/slow-shorter",
            slow.layer(RouteDeadline::of(Duration::from_secs(1))),
        )
        .layer(RequestLayer::new().deadline(Duration::from_secs(10)));
    let body = async |uri: &str, headers: &[(&str, &str)]| {
        Answer::from(&app, with(uri, headers)).await.body
    };
    assert_eq!(
        body("/deadline/longer", &[]).await,
        "Some(120s) Some(Server)"
    );
    assert_eq!(
        body("/deadline/shorter", &[]).await,
        "Some(1s) Some(Server)"
    );
    assert_eq!(body("/deadline/none", &[]).await, "None None");
    assert_eq!(
        body("/deadline/longer", &[(GRPC, "20S")]).await,
        "Some(20s) Some(Client(GrpcTimeout))"
    );
    assert_eq!(
        body("/deadline/none", &[(GRPC, "20S")]).await,
        "Some(20s) Some(Client(GrpcTimeout))"
    );

    for (uri, status, seconds) in [
        ("/deadline/slow", 200, 60),
        ("/deadline/slow-none", 200, 60),
        ("/deadline/slow-shorter", 504, 1),
    ] {
        let begun = Instant::now();
        assert_eq!(
            Answer::from(&app, get(uri)).await.status.as_u16(),
            status,
            "{uri}"
        );
        assert_eq!(begun.elapsed(), Duration::from_secs(seconds), "{uri}");
    }
}

/// A layer that asks a database before it lets the request on has waited before the route is known.
#[tokio::test(start_paused = true)]
async fn a_route_behind_a_layer_that_waits_replaces_the_limit_too() {
    let slow = on_get(async || sleep(Duration::from_secs(60)).await);
    let waits = from_fn(async |request: Request<Body>, next: Next| {
        sleep(Duration::from_millis(500)).await;
        next.run(request).await
    });
    let app = Router::new()
        .route(
            "/behind/longer",
            slow.clone()
                .layer(RouteDeadline::of(Duration::from_secs(120))),
        )
        .route("/behind/none", slow.clone().layer(RouteDeadline::none()))
        .route(
            "/behind/shorter",
            slow.layer(RouteDeadline::of(Duration::from_secs(1))),
        )
        .layer(waits)
        .layer(RequestLayer::new().deadline(Duration::from_secs(10)));
    for (uri, status, milliseconds) in [
        ("/behind/longer", 200, 60_500),
        ("/behind/none", 200, 60_500),
        ("/behind/shorter", 504, 1_000),
    ] {
        let begun = Instant::now();
        assert_eq!(
            Answer::from(&app, get(uri)).await.status.as_u16(),
            status,
            "{uri}"
        );
        assert_eq!(
            begun.elapsed(),
            Duration::from_millis(milliseconds),
            "{uri}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_beyond_the_end_of_the_clock_is_none() {
    let layer = RequestLayer::new().deadline(Duration::MAX);
    let app = Router::new().route("/deadline/far", telling()).layer(layer);
    assert_eq!(
        Answer::from(&app, get("/deadline/far")).await.body,
        "None None"
    );
    let answer = Answer::from(&app, with("/deadline/far", &[(GRPC, "99999999H")])).await;
    assert!(
        answer.body.ends_with("Some(Client(GrpcTimeout))"),
        "{}",
        answer.body
    );
}
