//! One client's events, in the form of the wire.

use std::{collections::VecDeque, convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use axum::response::sse::Event;
use futures_util::{Stream, stream};
use tokio::{
    task::coop::unconstrained,
    time::{Instant, sleep_until},
};

use super::{
    change::Change,
    feed::{Next, Subscription},
};
use crate::{
    access::Access,
    life::{Known, Life},
};

/// When a client tries again that has lost its connection.
const RETRY: Duration = Duration::from_secs(2);

/// How long a stream may go on without a word about whether it still may.
const ASKED_AGAIN: Duration = Duration::from_secs(15);

/// What its sender may do by now: the way of access, asked again about the request that opened the stream.
pub(super) type Judge = Box<dyn Fn() -> Access + Send>;

struct Follower {
    /// None after the last event.
    subscription: Option<Subscription>,
    ready: VecDeque<Event>,
    heard: u64,
    closing: Pin<Box<dyn Future<Output = ()> + Send>>,
    life: Arc<Known>,
    judge: Judge,
    /// What it may as long as it lasts.
    access: Access,
    judged: Instant,
}

/// Ends with `bye` when the service that it came through closes, or with `resync` for who does not keep up, and for who may see
/// more or less than before.
pub(super) fn events(
    mut subscription: Subscription,
    known: Arc<Known>,
    life: Life,
    judge: Judge,
    access: Access,
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
        judge,
        access,
        judged: Instant::now(),
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
            // However much there is to tell.
            if self.judged.elapsed() >= ASKED_AGAIN {
                self.judged = Instant::now();
                if (self.judge)() != self.access {
                    self.subscription = None;
                    return Some(event(self.heard, &Change::resync("access")));
                }
            }
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
                () = sleep_until(self.judged + ASKED_AGAIN) => {}
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
