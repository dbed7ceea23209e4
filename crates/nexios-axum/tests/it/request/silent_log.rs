//! A log that cannot be written: everything but the log goes on.

use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router, routing::get as on_get};
use nexios::{CancelReason, CancelToken};
use nexios_axum::{OnDisconnect, OrProblem, Problem, RequestLayer, RequestToken};
use tracing::{Event, Subscriber, span};
use tracing_subscriber::{Layer, Registry, layer, layer::SubscriberExt};

use crate::{
    answer::{Answer, get},
    asking::ask,
};

/// Panics on each event, and, if everything is in a span of its own, whenever that is entered or left.
struct Broken {
    in_span: Arc<AtomicBool>,
}

impl Broken {
    fn enter_or_leave(&self) {
        assert!(
            !self.in_span.load(Ordering::SeqCst),
            "standard error is away"
        );
    }
}

impl<S: Subscriber> Layer<S> for Broken {
    fn on_event(&self, _: &Event<'_>, _: layer::Context<'_, S>) {
        panic!("standard error is away");
    }

    fn on_enter(&self, _: &span::Id, _: layer::Context<'_, S>) {
        self.enter_or_leave();
    }

    fn on_exit(&self, _: &span::Id, _: layer::Context<'_, S>) {
        self.enter_or_leave();
    }
}

/// Everything that the layer logs, in its normal ways and in its destructors.
async fn everything() {
    let shutdown = CancelToken::new();
    let limit = Duration::from_secs(1);
    let layer = RequestLayer::new()
        .deadline(limit)
        .shutdown(shutdown.clone())
        .rescue_limit(1);
    let requests = layer.requests();
    let cleanup = async |token: RequestToken| -> String {
        token.cancelled().await;
        panic!("mop and bucket")
    };
    let app = Router::new()
        .route("/silent/well", on_get(async || "well"))
        .route("/silent/late", on_get(pending::<()>))
        .route(
            "/silent/panic",
            on_get(async || -> String { panic!("a handler") }),
        )
        .route(
            "/silent/fault",
            on_get(async || Problem::internal(&"a fault")),
        )
        .route("/silent/cleanup", on_get(cleanup))
        .route(
            "/silent/extension",
            on_get(async |_: OrProblem<Extension<u8>>| "there"),
        )
        .layer(layer);
    for (path, status) in [
        ("/silent/well", 200),
        ("/silent/late", 504),
        ("/silent/panic", 500),
        ("/silent/fault", 500),
        ("/silent/extension", 500),
    ] {
        assert_eq!(
            Answer::from(&app, get(path)).await.status.as_u16(),
            status,
            "{path}"
        );
        requests.idle().await;
    }
    let mut malformed = get("/silent/well");
    malformed
        .headers_mut()
        .insert("grpc-timeout", "soon".parse().unwrap());
    assert_eq!(Answer::from(&app, malformed).await.status, 200);
    // Two leave: one is rescued, the other is one too many.
    drop((
        ask(&app, get("/silent/cleanup")).await,
        ask(&app, get("/silent/late")).await,
    ));
    requests.idle().await;
    assert_eq!(
        (requests.stats().disconnected, requests.stats().unrescued),
        (2, 1)
    );
    // One is dropped by a thread that unwinds: a second panic would abort the process.
    let left = ask(&app, get("/silent/late")).await;
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _left = left;
        panic!("somebody else");
    }));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"somebody else"));
    requests.idle().await;
    let waiting = ask(&app, get("/silent/late")).await;
    shutdown.cancel(CancelReason::Shutdown);
    assert_eq!(waiting.answer().await.status, 503);
    requests.idle().await;
    let bare = Router::new().route(
        "/silent/bare",
        on_get(async || "bare").layer(OnDisconnect::Immediate),
    );
    assert_eq!(Answer::from(&bare, get("/silent/bare")).await.body, "bare");
}

fn run(in_span: bool) {
    let broken = Arc::new(AtomicBool::new(false));
    let subscriber = Registry::default().with(Broken {
        in_span: broken.clone(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    tracing::subscriber::with_default(subscriber, || {
        let span = if in_span {
            tracing::info_span!("request")
        } else {
            tracing::Span::none()
        };
        let _entered = span.enter();
        broken.store(in_span, Ordering::SeqCst);
        runtime.unwrap().block_on(everything());
        broken.store(false, Ordering::SeqCst);
    });
}

#[test]
fn a_subscriber_that_panics_loses_no_request() {
    run(false);
}

/// Entering and leaving a span call the subscriber as well.
#[test]
fn a_subscriber_that_panics_about_spans_loses_no_request() {
    run(true);
}
