//! The progress of tasks as it happens, as server-sent events.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::State,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::Stream;

use super::feed::{Feed, Subscriber};
use crate::{app::ServiceLife, problem::Problem};

/// When a client may come back that was one too many. Streams are long.
const COME_BACK: Duration = Duration::from_secs(10);

/// Answers `GET /tasks/events`; the stream ends when the service closes.
pub(super) async fn events(
    State(feed): State<Arc<Feed>>,
    life: ServiceLife,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let subscription = Subscription::new(&feed).ok_or_else(|| {
        Problem::unavailable(
            "As many clients watch the tasks as may at a time.",
            COME_BACK,
        )
    })?;
    Ok(Sse::new(life.until_closing(subscription)).keep_alive(KeepAlive::default()))
}

/// One client's place in the feed, for as long as its stream lives.
struct Subscription {
    feed: Arc<Feed>,
    subscriber: Subscriber,
}

impl Subscription {
    fn new(feed: &Arc<Feed>) -> Option<Self> {
        let subscriber = feed.subscribe()?;
        Some(Subscription {
            feed: feed.clone(),
            subscriber,
        })
    }
}

impl Stream for Subscription {
    type Item = Result<Event, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let news = self.feed.poll_next(self.subscriber, cx);
        news.map(|text| Some(Ok(Event::default().event("task").data(&*text))))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.feed.unsubscribe(self.subscriber);
    }
}
