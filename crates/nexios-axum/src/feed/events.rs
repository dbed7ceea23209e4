//! The changes of what is watched as they happen, as server-sent events.

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

use super::{Feed, Subscriber, Watched};
use crate::{app::ServiceLife, problem::Problem};

/// When a client may come back that was one too many. Streams are long.
const COME_BACK: Duration = Duration::from_secs(10);

/// Answers with a stream, which ends when the service closes.
pub(crate) async fn events<W: Watched>(
    State(feed): State<Arc<Feed<W>>>,
    life: ServiceLife,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<W>>, Problem> {
    let subscription =
        Subscription::new(&feed).ok_or_else(|| Problem::unavailable(W::FULL, COME_BACK))?;
    Ok(Sse::new(life.until_closing(subscription)).keep_alive(KeepAlive::default()))
}

/// One client's place in the feed, for as long as its stream lives.
struct Subscription<W: Watched> {
    feed: Arc<Feed<W>>,
    subscriber: Subscriber,
}

impl<W: Watched> Subscription<W> {
    fn new(feed: &Arc<Feed<W>>) -> Option<Self> {
        let subscriber = feed.subscribe()?;
        Some(Subscription {
            feed: feed.clone(),
            subscriber,
        })
    }
}

impl<W: Watched> Stream for Subscription<W> {
    type Item = Result<Event, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let news = self.feed.poll_next(self.subscriber, cx);
        news.map(|text| Some(Ok(Event::default().event(W::EVENT).data(&*text))))
    }
}

impl<W: Watched> Drop for Subscription<W> {
    fn drop(&mut self) {
        self.feed.unsubscribe(self.subscriber);
    }
}
