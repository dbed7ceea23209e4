use std::time::Duration;

use axum::{Router, routing::get as on_get};
use nexios::{CancelScope, CancelToken, Interrupted, TaskGroup};
use nexios_axum::{Deadline, DeadlineHeader, Problem, RequestLayer};
use tokio::time::{Instant, sleep};

use crate::answer::{Answer, get};

async fn in_scope<T>(left: Duration, f: impl FnOnce() -> T) -> T {
    CancelScope::new(CancelToken::new(), Some(Instant::now() + left))
        .run(async { f() })
        .await
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_handed_on_less_the_reserve() {
    let handed_on = in_scope(Duration::from_millis(1_505), || {
        Deadline::current()
            .hand_on(DeadlineHeader::ConnectTimeoutMs)
            .unwrap()
            .unwrap()
    })
    .await;
    assert_eq!(handed_on.timeout, Duration::from_millis(1_500));
    assert_eq!(
        (handed_on.name.as_str(), handed_on.value.to_str().unwrap()),
        ("connect-timeout-ms", "1500")
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_handed_on_without_a_deadline() {
    assert_eq!(
        Deadline::current().hand_on(DeadlineHeader::GrpcTimeout),
        Ok(None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_is_refused_when_there_is_no_time_for_its_answer() {
    for (left, refused) in [(0, true), (5, true), (6, false)] {
        let handed_on = in_scope(Duration::from_millis(left), || {
            Deadline::current().hand_on(DeadlineHeader::GrpcTimeout)
        })
        .await;
        assert_eq!(
            handed_on == Err(Interrupted::DeadlineExceeded),
            refused,
            "{left} ms"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_hands_on_what_its_client_has_left() {
    let handler = on_get(async |deadline: Deadline| -> Result<String, Problem> {
        sleep(Duration::from_secs(1)).await;
        let handed_on = deadline.hand_on(DeadlineHeader::EnvoyExpectedTimeoutMs)?;
        Ok(handed_on
            .map(|handed_on| handed_on.value.to_str().unwrap().to_owned())
            .unwrap_or_default())
    });
    let layer = RequestLayer::new().deadline(Duration::from_secs(3));
    let app = Router::new().route("/outbound", handler).layer(layer);
    assert_eq!(Answer::from(&app, get("/outbound")).await.body, "1995");
}

/// What is left for the upstream, as a handler with a limit of 90 s sees it at several depths.
#[tokio::test(start_paused = true)]
async fn the_time_limit_of_a_group_counts_for_what_is_called_in_it() {
    let told = || {
        let handed_on = Deadline::current()
            .hand_on(DeadlineHeader::ConnectTimeoutMs)
            .unwrap()
            .unwrap();
        handed_on.timeout.as_millis()
    };
    let limited = |seconds| {
        TaskGroup::builder()
            .timeout(Duration::from_secs(seconds))
            .build::<Problem>()
    };
    let handler = on_get(async move || -> Result<String, Problem> {
        let before = told();
        let group = limited(2);
        let (body, child, longer, shorter) = group
            .run(async {
                let child = group.spawn(async move { Ok(told()) });
                let longer = group.spawn(async move {
                    let inner = limited(60);
                    inner
                        .run(async { inner.spawn(async move { Ok(told()) }).await })
                        .await
                });
                let shorter = group.spawn(async move {
                    let inner = limited(1);
                    inner
                        .run(async { inner.spawn(async move { Ok(told()) }).await })
                        .await
                });
                let body = told();
                Ok((body, child.await?, longer.await?, shorter.await?))
            })
            .await?;
        Ok(format!(
            "{before} {body} {child} {longer} {shorter} {}",
            told()
        ))
    });
    let layer = RequestLayer::new().deadline(Duration::from_secs(90));
    let app = Router::new().route("/outbound/group", handler).layer(layer);
    assert_eq!(
        Answer::from(&app, get("/outbound/group")).await.body,
        "89995 1995 1995 1995 995 89995"
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_with_a_longer_limit_does_not_lengthen_the_deadline() {
    let group = TaskGroup::builder()
        .timeout(Duration::from_secs(60))
        .build::<Interrupted>();
    let left = CancelScope::new(
        CancelToken::new(),
        Some(Instant::now() + Duration::from_secs(3)),
    )
    .run(async {
        group
            .run(async {
                group
                    .spawn(async { Ok(Deadline::current().remaining()) })
                    .await
            })
            .await
    });
    assert_eq!(left.await, Ok(Some(Duration::from_secs(3))));
    assert_eq!(Deadline::current().at(), None);
}

#[cfg(feature = "reqwest")]
mod calls {
    use axum::http::HeaderMap;
    use nexios_axum::WithDeadline;

    use super::*;
    use crate::service::serve;

    fn client() -> reqwest::Client {
        reqwest::Client::builder().no_proxy().build().unwrap()
    }

    #[tokio::test]
    async fn a_call_carries_the_header_and_ends_in_time() {
        let other = Router::new()
            .route(
                "/tell",
                on_get(async |headers: HeaderMap| {
                    headers["grpc-timeout"].to_str().unwrap().to_owned()
                }),
            )
            .route("/hang", on_get(async || std::future::pending::<()>().await));
        let other = serve(other).await;
        let left = Duration::from_millis(400);
        let scope = CancelScope::new(CancelToken::new(), Some(Instant::now() + left));
        scope
            .run(async {
                let call = client().get(format!("http://{other}/tell"));
                let told = call
                    .with_deadline(DeadlineHeader::GrpcTimeout)
                    .unwrap()
                    .send()
                    .await
                    .unwrap();
                let told = told.text().await.unwrap();
                let told = DeadlineHeader::GrpcTimeout
                    .parse(&told.parse().unwrap())
                    .unwrap();
                assert!(told < left - Duration::from_millis(5), "{told:?}");

                let call = client().get(format!("http://{other}/hang"));
                let ended = call
                    .with_deadline(DeadlineHeader::GrpcTimeout)
                    .unwrap()
                    .send()
                    .await;
                assert!(ended.unwrap_err().is_timeout());

                sleep(left).await;
                let call = client().get(format!("http://{other}/tell"));
                let refused = call.with_deadline(DeadlineHeader::GrpcTimeout).unwrap_err();
                assert_eq!(refused, Interrupted::DeadlineExceeded);
            })
            .await;
    }

    #[tokio::test]
    async fn without_a_deadline_a_call_is_left_as_it_is() {
        let call = client()
            .get("http://prices.internal/7")
            .with_deadline(DeadlineHeader::GrpcTimeout)
            .unwrap();
        let call = call.build().unwrap();
        assert!(call.headers().is_empty() && call.timeout().is_none());
    }
}
