//! One client's events, in the form of the wire.

use std::{collections::VecDeque, convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use axum::response::sse::Event;
use futures_util::{Stream, stream};
use tokio::task::coop::unconstrained;

use super::{
    change::Change,
    feed::{Next, Subscription},
};
use crate::life::{Known, Life};

/// When a client tries again that has lost its connection.
const RETRY: Duration = Duration::from_secs(2);

struct Follower {
    /// None after the last event.
    subscription: Option<Subscription>,
    ready: VecDeque<Event>,
    heard: u64,
    closing: Pin<Box<dyn Future<Output = ()> + Send>>,
    life: Arc<Known>,
}

/// Ends with `bye` when the service that it came through closes, or with `resync` for who does not keep up.
pub(super) fn events(
    mut subscription: Subscription,
    known: Arc<Known>,
    life: Life,
) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
    let (heard, first) = subscription.take_first();
    let mut ready = VecDeque::from([Event::default().retry(RETRY)]);
    ready.extend(first.iter().map(|change| event(heard, change)));
    let closing = Box::pin({
        let known = known.clone();
        // Whatever the connection has used up of its turn, the end is seen in time.
        unconstrained(async move { known.closing(&life).await })
    });
    let follower = Follower {
        subscription: Some(subscription),
        ready,
        heard,
        closing,
        life: known,
    };
    stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    })
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let subscription = self.subscription.as_mut()?;
            match subscription.next() {
                Next::Event(id, change) => {
                    self.heard = id;
                    return Some(event(id, &change));
                }
                Next::Lost => {
                    self.subscription = None;
                    return Some(event(self.heard, &Change::resync("lagged")));
                }
                Next::Nothing => {}
            }
            tokio::select! {
                biased;
                () = &mut self.closing => {
                    self.subscription = None;
                    return Some(event(self.heard, &Change::bye(self.life.phase_name())));
                }
                () = subscription.news() => {}
            }
        }
    }
}

fn event(id: u64, change: &Change) -> Event {
    Event::default()
        .id(id.to_string())
        .event(change.event)
        .data(&change.data)
}
