//! A trace of OpenTelemetry crosses everything that a handler starts, as the page `docs::opentelemetry` says.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::HeaderMap,
    middleware::{Next, from_fn},
    response::Response,
    routing::get,
};
use nexios::{Background, Candidate, Interrupted, TaskGroup, ThreadPool, run_until_first_complete};
use nexios_axum::RequestLayer;
use opentelemetry::{
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::TracerProvider,
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{InMemorySpanExporter, SdkTracerProvider},
};
use tokio::net::TcpListener;
use tracing::{Instrument, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What carries a trace from one service to the next.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}

struct Outbound<'a>(&'a mut HeaderMap);

impl Injector for Outbound<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name: axum::http::HeaderName = key.parse().unwrap();
        self.0.insert(name, value.parse().unwrap());
    }
}

/// A request's span goes on with the trace of its client.
async fn traced(request: Request, next: Next) -> Response {
    let span = info_span!("request");
    let context = TraceContextPropagator::new().extract(&Headers(request.headers()));
    span.set_parent(context).unwrap();
    next.run(request).instrument(span).await
}

/// What a handler hands on to the service that it calls.
async fn call(upstream: SocketAddr) -> Result<String, Interrupted> {
    let span = info_span!("outbound call");
    let mut headers = HeaderMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut Outbound(&mut headers));
    let request = reqwest::Client::new()
        .get(format!("http://{upstream}/"))
        .headers(headers);
    let answer = async { request.send().await.unwrap().text().await.unwrap() };
    Ok(answer.instrument(span).await)
}

#[derive(Clone)]
struct App {
    upstream: SocketAddr,
    background: Background,
    pool: ThreadPool,
}

async fn handler(State(app): State<App>) -> String {
    let App {
        upstream,
        background,
        pool,
    } = app;
    let task = background
        .spawn("background", async |_| {
            info_span!("in a background task").in_scope(|| ());
        })
        .unwrap();
    let group = TaskGroup::<Interrupted>::new();
    let answer = group
        .run(async {
            let called = group.spawn_named("child", call(upstream));
            let parallel = group.spawn_parallel(async move {
                info_span!("in a parallel child").in_scope(|| ());
                pool.run(|| info_span!("in the pool").in_scope(|| ()))
                    .await
                    .unwrap();
                Ok(())
            });
            let winner = async {
                info_span!("in a race").in_scope(|| ());
                Ok::<_, Interrupted>(())
            };
            run_until_first_complete([Candidate::new("winner", winner)])
                .await
                .unwrap();
            parallel.await?;
            called.await
        })
        .await
        .unwrap();
    task.await.unwrap();
    answer
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_crosses_group_parallel_child_pool_race_background_task_and_outbound_call() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let tracer = provider.tracer("nexios");
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    tracing_subscriber::registry().with(layer).init();

    let echo = async |headers: HeaderMap| headers["traceparent"].to_str().unwrap().to_owned();
    let upstream = serve(Router::new().route("/", get(echo))).await;
    let app = App {
        upstream,
        background: Background::builder().build(),
        pool: ThreadPool::builder().threads(1).build(),
    };
    let router = Router::new()
        .route("/", get(handler))
        .layer(RequestLayer::new())
        .layer(from_fn(traced))
        .with_state(app);
    let address = serve(router).await;

    let asked = reqwest::Client::new()
        .get(format!("http://{address}/"))
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .send();
    let answer = tokio::time::timeout(Duration::from_secs(30), asked)
        .await
        .unwrap()
        .unwrap();
    let upstream_heard = answer.text().await.unwrap();
    assert!(
        upstream_heard.starts_with(&format!("00-{TRACE}-")),
        "{upstream_heard}"
    );

    provider.force_flush().unwrap();
    let spans = exporter.get_finished_spans().unwrap();
    let in_the_trace: BTreeSet<&str> = spans
        .iter()
        .filter(|span| span.span_context.trace_id().to_string() == TRACE)
        .map(|span| &*span.name)
        .collect();
    for name in [
        "outbound call",
        "in a parallel child",
        "in the pool",
        "in a race",
        "in a background task",
        "background_task",
    ] {
        assert!(in_the_trace.contains(name), "{name}: {in_the_trace:?}");
    }
}
