//! Many items, few futures: `map` and `map_unordered`.

use std::{
    future::Future,
    panic::{Location, resume_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{
    FutureExt, StreamExt,
    stream::{FuturesUnordered, Stream},
};

use super::{
    builder::OnError,
    children::take_ids,
    drive,
    observed::Introduction,
    observed_future::ObservedFuture,
    panics::log_panic_text,
    state::{GroupPhase, Run, Shared},
    turns,
    verdict::Cause,
};
use crate::{
    cancel::{CancelReason, Interrupted},
    observe::{WorkKind, observers::anybody},
    panics::{Payload, caught, text_of},
};

/// The results of items in completion order. At most the group's limit of them exist as futures at a time.
///
/// The items live in here, not in the group, so they may borrow from the call; dropping this drops them.
pub(super) struct Mapped<'g, 'env, E, I, F, Fut> {
    shared: &'g Arc<Shared<'env, E>>,
    items: Option<I>,
    make: F,
    under_way: FuturesUnordered<ObservedFuture<Fut>>,
    /// The last look found the budget used up and left it at that.
    gave_way: bool,
    /// Who this is among the awaiters and watchers of the group.
    awaiter: u64,
    made_at: &'static Location<'static>,
}

impl<E, I, F, Fut> Unpin for Mapped<'_, '_, E, I, F, Fut> {}

impl<'g, 'env, E, I, F, Fut> Mapped<'g, 'env, E, I, F, Fut> {
    pub(super) fn new(
        shared: &'g Arc<Shared<'env, E>>,
        items: I,
        make: F,
        made_at: &'static Location<'static>,
    ) -> Self {
        Self {
            shared,
            items: Some(items),
            make,
            under_way: FuturesUnordered::new(),
            gave_way: false,
            awaiter: take_ids(1).start,
            made_at,
        }
    }
}

impl<E, I, T, F, Fut> Mapped<'_, '_, E, I, F, Fut>
where
    E: From<Interrupted>,
    I: Iterator,
    F: Fn(I::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    /// Makes futures out of items while there is room for them.
    fn fill(&mut self) -> Result<(), Payload> {
        while self.under_way.len() < self.shared.settings.limit
            && let Some(items) = &mut self.items
        {
            let made = caught(|| items.next().map(&self.make))?;
            match made {
                Some(future) => self.under_way.push(self.item(future)),
                None => self.items = None,
            }
        }
        Ok(())
    }

    /// An item, told of as made if somebody observes.
    fn item(&self, future: Fut) -> ObservedFuture<Fut> {
        let part = anybody().then(|| {
            self.shared.observe(self.shared.lock()).part(&Introduction {
                id: take_ids(1).start,
                kind: WorkKind::Item,
                name: None,
                made_at: Some(self.made_at),
            })
        });
        ObservedFuture::new(future, part)
    }

    /// Drops all items, those under way first.
    fn stop(&mut self) {
        self.under_way.clear();
        self.items = None;
    }

    /// Drops all items because one has failed.
    fn fall(&mut self) {
        if let Some(observed) = self.shared.observed.get() {
            observed.is_failing();
        }
        self.stop();
    }

    /// Why the group has ended, if it has.
    fn ended(&self) -> Option<Interrupted> {
        let core = self.shared.lock();
        (core.phase != GroupPhase::Open).then(|| {
            core.verdict
                .cause
                .unwrap_or(Cause::OwnerDropped)
                .interrupted()
        })
    }

    fn interrupted(&self, interrupted: Interrupted) -> E {
        if interrupted == Interrupted::Cancelled(CancelReason::SiblingFailed)
            && let Some(error) = self.shared.take_failure()
        {
            return error;
        }
        turns::note_told(self.shared.address());
        interrupted.into()
    }

    fn failed(&mut self, error: E) -> E {
        if self.shared.settings.on_error == OnError::Continue {
            return error;
        }
        self.fall();
        self.shared.fail(self.awaiter, error);
        self.interrupted(Interrupted::Cancelled(CancelReason::SiblingFailed))
    }

    /// An item is a child: its panic ends the group, and resumes in `run` or here.
    fn panicked(&mut self, payload: Payload) -> E {
        log_panic_text("an item of a task group's map panicked", &payload);
        self.fall();
        if self.shared.lock().run == Run::Active {
            self.shared.panicked(payload);
            return Interrupted::Cancelled(CancelReason::SiblingFailed).into();
        }
        if let Some(observed) = self.shared.observed.get() {
            observed.panicked(text_of(&*payload));
        }
        self.shared.close(Cause::Panicked);
        resume_unwind(payload)
    }
}

impl<E, I, T, F, Fut> Stream for Mapped<'_, '_, E, I, F, Fut>
where
    E: From<Interrupted>,
    I: Iterator,
    F: Fn(I::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Item = Result<T, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.items.is_none() && this.under_way.is_empty() {
            return Poll::Ready(None);
        }
        // First, and whatever others have left of the budget: this may be the only one who looks at the group's limits.
        if turns::inside(this.shared.address()).is_none() {
            drive::turn(this.shared, this.awaiter, cx.waker());
        } else {
            this.shared.watch_end(this.awaiter, cx.waker().clone());
        }
        if let Some(interrupted) = this.ended() {
            this.stop();
            return Poll::Ready(Some(Err(this.interrupted(interrupted))));
        }
        // Items that are always ready would else keep the runtime, and with it the deadline, from their turn. Where
        // others use up the budget each time, every second look is for the items.
        let budget = match tokio::task::coop::poll_proceed(cx) {
            Poll::Ready(budget) => Some(budget),
            Poll::Pending if this.gave_way => None,
            Poll::Pending => {
                this.gave_way = true;
                return Poll::Pending;
            }
        };
        this.gave_way = false;
        if let Err(payload) = this.fill() {
            return Poll::Ready(Some(Err(this.panicked(payload))));
        }
        match caught(|| this.under_way.poll_next_unpin(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Some(result))) => {
                if let Some(budget) = budget {
                    budget.made_progress();
                }
                Poll::Ready(Some(result.map_err(|error| this.failed(error))))
            }
            Ok(Poll::Ready(None)) => Poll::Ready(None),
            Err(payload) => Poll::Ready(Some(Err(this.panicked(payload)))),
        }
    }
}

impl<E, I, F, Fut> Drop for Mapped<'_, '_, E, I, F, Fut> {
    fn drop(&mut self) {
        self.shared.signals.forget(self.awaiter);
        self.shared.forget_watcher(self.awaiter);
    }
}

/// The results of all items in the order of the items.
pub(super) async fn in_order<E, I, T, F, Fut>(
    shared: &Arc<Shared<'_, E>>,
    items: I,
    make: F,
    made_at: &'static Location<'static>,
) -> Result<Vec<T>, E>
where
    E: From<Interrupted>,
    I: Iterator,
    F: Fn(I::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut results: Vec<Option<T>> = Vec::new();
    let numbered = |(index, item)| make(item).map(move |result| result.map(|value| (index, value)));
    let mut mapped = Mapped::new(shared, items.enumerate(), numbered, made_at);
    while let Some(result) = mapped.next().await {
        let (index, value) = result?;
        if results.len() <= index {
            results.resize_with(index + 1, || None);
        }
        results[index] = Some(value);
    }
    Ok(results.into_iter().flatten().collect())
}
