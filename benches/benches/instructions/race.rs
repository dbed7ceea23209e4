//! The first success of three candidates that differ in type, and one hedged call.

use std::{
    future::{Future, ready},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::select_ok;
use nexios::{Candidate, Delay, Hedge, run_until_first_complete};

use crate::contest::Contest;

pub(crate) fn contests() -> Vec<Contest> {
    vec![first_ready(), hedge()]
}

/// Answers at once, or never.
struct Source(Option<u64>);

impl Future for Source {
    type Output = Result<u64, ()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.map_or(Poll::Pending, |value| Poll::Ready(Ok(value)))
    }
}

type Boxed = Pin<Box<dyn Future<Output = Result<u64, ()>> + Send>>;

fn first_ready() -> Contest {
    Contest::new("race/first_ready/3", 1)
        .side("nexios", || async {
            let race = run_until_first_complete([
                Candidate::new("first", Source(Some(1))),
                Candidate::new("second", Source(None)),
                Candidate::new("third", Source(None)),
            ]);
            race.await.unwrap_or_default()
        })
        .rival("select_ok", 1.3, || async {
            let sources: [Boxed; 3] = [
                Box::pin(Source(Some(1))),
                Box::pin(Source(None)),
                Box::pin(Source(None)),
            ];
            select_ok(sources).await.map_or(0, |(value, _losers)| value)
        })
}

fn hedge() -> Contest {
    let hedge = Hedge::builder()
        .delay(Delay::Fixed(Duration::from_secs(1)))
        .budget(0.05)
        .build();
    Contest::new("hedge/first_ready", 1)
        .side("nexios", move || {
            let hedge = hedge.clone();
            async move {
                hedge
                    .run(|_| ready(Ok::<u64, ()>(1)))
                    .await
                    .unwrap_or_default()
            }
        })
        .side("boxed and awaited", || async {
            let source: Boxed = Box::pin(Source(Some(1)));
            source.await.unwrap_or_default()
        })
}
