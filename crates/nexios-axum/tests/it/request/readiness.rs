//! Services that are not ready, or panic before there is a future: the request is there already.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response, routing::get as on_get};
use nexios_axum::{RequestLayer, RouteDeadline, ShedLayer};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};
use tower::{Layer, Service, ServiceExt, layer::layer_fn};

use crate::{answer::get, asking::ask, log};

/// As tower's `ConcurrencyLimit`: ready as long as somebody may be let in.
struct Limited<S> {
    inner: S,
    places: Arc<Semaphore>,
    waiting: Option<Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send + Sync>>>,
    place: Option<OwnedSemaphorePermit>,
}

impl<S> Limited<S> {
    fn new(inner: S, places: Arc<Semaphore>) -> Self {
        Limited {
            inner,
            places,
            waiting: None,
            place: None,
        }
    }
}

impl<S: Clone> Clone for Limited<S> {
    fn clone(&self) -> Self {
        Limited::new(self.inner.clone(), self.places.clone())
    }
}

impl<S: Service<Request, Future: Send + 'static>> Service<Request> for Limited<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if self.place.is_none() {
            let places = self.places.clone();
            let waiting = self
                .waiting
                .get_or_insert_with(|| Box::pin(async { places.acquire_owned().await.unwrap() }));
            match waiting.as_mut().poll(cx) {
                Poll::Ready(place) => (self.place, self.waiting) = (Some(place), None),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let place = self.place.take().expect("it was not ready");
        let response = self.inner.call(request);
        Box::pin(async move {
            let _place = place;
            response.await
        })
    }
}

/// A handler that takes 10 s, for one request at a time.
macro_rules! one_at_a_time {
    ($outer:expr) => {{
        let places = Arc::new(Semaphore::new(1));
        let outer = $outer;
        on_get(async || sleep(Duration::from_secs(10)).await).layer(layer_fn(move |inner| {
            outer.layer(Limited::new(inner, places.clone()))
        }))
    }};
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_service_that_is_not_ready_has_a_deadline_and_a_line() {
    let layer = RequestLayer::new().deadline(Duration::from_secs(12));
    let requests = layer.requests();
    let app = Router::new().route("/ready/layer", one_at_a_time!(layer));
    let first = ask(&app, get("/ready/layer")).await;
    let begun = Instant::now();
    let (second, gone) = (
        ask(&app, get("/ready/layer")).await,
        ask(&app, get("/ready/layer")).await,
    );
    assert_eq!(requests.live(), 3);
    drop(gone);
    assert_eq!(requests.stats().disconnected, 1);
    assert_eq!(first.answer().await.status, 200);
    second.answer().await.problem(504);
    assert_eq!(begun.elapsed(), Duration::from_secs(12));
    assert_eq!(
        log::access("/ready/layer")
            .iter()
            .filter(|line| line["status"] == 504)
            .count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_route_holds_for_the_wait_for_its_service_too() {
    let limit = RouteDeadline::of(Duration::from_secs(1));
    let shed = ShedLayer::new();
    let both = layer_fn(move |inner| limit.layer(shed.layer(inner)));
    let app = Router::new()
        .route("/ready/route", one_at_a_time!(both))
        .layer(RequestLayer::new());
    let _first = ask(&app, get("/ready/route")).await;
    let begun = Instant::now();
    let second = ask(&app, get("/ready/route")).await;
    timeout(Duration::from_secs(60), second.answer())
        .await
        .expect("it has a limit")
        .problem(504);
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_gets_ready_is_called_once_for_each_request_in_turn() {
    let layer = RequestLayer::new();
    let app = Router::new().route("/ready/turn", one_at_a_time!(layer));
    let begun = Instant::now();
    let (first, second) = (
        ask(&app, get("/ready/turn")).await,
        ask(&app, get("/ready/turn")).await,
    );
    assert_eq!(
        (first.answer().await.status, begun.elapsed().as_secs()),
        (200.try_into().unwrap(), 10)
    );
    assert_eq!(
        (second.answer().await.status, begun.elapsed().as_secs()),
        (200.try_into().unwrap(), 20)
    );
}

/// Panics where there is no future yet.
#[derive(Clone)]
struct Panics {
    ready: bool,
}

impl Service<Request> for Panics {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        assert!(self.ready, "row 7 of secrets");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        panic!("row 7 of secrets");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_before_it_has_a_future_is_500_too() {
    log::start();
    for ready in [true, false] {
        let layer = RequestLayer::new();
        let requests = layer.requests();
        let service = layer.layer(Panics { ready });
        assert_eq!(
            service.oneshot(get("/ready/panic")).await.unwrap().status(),
            500
        );
        assert_eq!((requests.stats().panicked, requests.live()), (1, 0));
    }
    let statuses: Vec<_> = log::access_of_path("/ready/panic")
        .iter()
        .map(|line| line["status"].clone())
        .collect();
    assert_eq!(statuses, [500, 500]);
}

/// An error of the service is its own business, before a call as in it.
#[tokio::test(start_paused = true)]
async fn an_error_before_the_call_is_passed_on() {
    #[derive(Clone)]
    struct Fails;
    impl Service<Request> for Fails {
        type Response = Response;
        type Error = &'static str;
        type Future = Ready<Result<Response, &'static str>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            Poll::Ready(Err("closed"))
        }

        fn call(&mut self, _: Request) -> Self::Future {
            ready(Ok(Response::new(Body::empty())))
        }
    }
    assert_eq!(
        RequestLayer::new()
            .layer(Fails)
            .oneshot(get("/"))
            .await
            .unwrap_err(),
        "closed"
    );
}
