//! What the log says of computations, and how often.

use std::sync::{Arc, Mutex};

use nexios::AsyncLazy;
use tracing::{Instrument, Subscriber, span};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry::{LookupSpan, Registry},
};

use super::{Broken, Source, pass_time, poll_once, seconds, settle};
use crate::lines::Lines;

fn failing() -> AsyncLazy<u8, Broken> {
    AsyncLazy::builder(|| async { Err(Broken(1)) })
        .name("rates")
        .ttl(seconds(1))
        .stale_while_revalidate(seconds(100))
        .build()
}

#[tokio::test(start_paused = true)]
async fn a_background_refresh_that_fails_is_logged_once() {
    // LZ-055
    let (lines, _guard) = Lines::capture();
    let cell = failing();
    cell.set(70);
    pass_time(1.0).await;
    for _ in 0..3 {
        assert_eq!(*cell.get().await.unwrap(), 70);
        settle().await;
    }
    assert_eq!(
        lines.take(),
        ["WARN rates: a lazy computation failed that nobody waited for"]
    );
    // The next attempt is another failure.
    pass_time(1.0).await;
    cell.get().await.unwrap();
    settle().await;
    assert_eq!(lines.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_somebody_is_told_is_not_logged() {
    // LZ-055: whoever has the error decides whether it is worth a line.
    let (lines, _guard) = Lines::capture();
    let cell = failing();
    assert!(cell.get().await.is_err());
    assert!(cell.refresh().await.is_err());
    assert_eq!(lines.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_is_cancelled_or_timed_out_is_not_logged() {
    // LZ-055
    let (lines, _guard) = Lines::capture();
    let source = Source::new();
    let cell = source
        .builder()
        .ttl(seconds(1))
        .stale_while_revalidate(seconds(100))
        .timeout(seconds(5))
        .build();
    // Its caller leaves.
    let mut refresh = cell.refresh();
    assert!(poll_once(&mut refresh).is_pending());
    settle().await;
    drop(refresh);
    // A reset makes it pointless.
    cell.set(70);
    pass_time(1.0).await;
    cell.get().await.unwrap();
    settle().await;
    cell.reset();
    // Its time runs out, with nobody who waits.
    cell.set(70);
    pass_time(1.0).await;
    cell.get().await.unwrap();
    pass_time(5.0).await;
    assert_eq!(
        (source.started(), source.alive(), cell.stats().failures),
        (3, 0, 1)
    );
    assert_eq!(lines.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_logged_once_with_the_name() {
    // LZ-017
    let (lines, _guard) = Lines::capture();
    let cell = AsyncLazy::<u8, Broken>::builder(|| async { panic!("on purpose") })
        .name("rates")
        .build();
    let (one, two) = tokio::join!(cell.get(), cell.get());
    assert!(one.is_err() && two.is_err());
    assert_eq!(lines.take(), ["ERROR rates: a lazy computation panicked"]);
}

/// Notes how the spans of computations are related to those of callers.
#[derive(Clone, Default)]
struct Links(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Links {
    fn on_new_span(&self, _: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let parent = span.parent().map_or("nobody", |parent| parent.name());
        if span.name() == "lazy" {
            self.0
                .lock()
                .unwrap()
                .push(format!("lazy is a child of {parent}"));
        }
    }

    fn on_follows_from(&self, id: &span::Id, follows: &span::Id, context: Context<'_, S>) {
        let name = |id| context.span(id).unwrap().name();
        self.0
            .lock()
            .unwrap()
            .push(format!("{} follows from {}", name(id), name(follows)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_span_of_a_computation_is_its_starters_child_and_linked_from_each_waiter() {
    // RS-011
    let links = Links::default();
    let _guard = tracing::subscriber::set_default(Registry::default().with(links.clone()));
    let source = Source::new();
    let cell = source.cell();
    let first = cell.get().instrument(tracing::info_span!("first"));
    let second = cell.get().instrument(tracing::info_span!("second"));
    let third = cell.get().instrument(tracing::info_span!("third"));
    source.let_through(1);
    let answers = tokio::join!(first, second, third);
    assert!(answers.0.is_ok() && answers.1.is_ok() && answers.2.is_ok());
    let expected = [
        "lazy is a child of first",
        "second follows from lazy",
        "third follows from lazy",
    ];
    assert_eq!(*links.0.lock().unwrap(), expected);
}
