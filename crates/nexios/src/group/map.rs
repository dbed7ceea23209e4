//! Many items, few futures: `map` and `map_unordered`.

use std::{
    future::Future,
    panic::{Location, resume_unwind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures_util::{
    FutureExt, StreamExt,
    stream::{FuturesUnordered, Stream},
};

use pin_project_lite::pin_project;

use super::{
    builder::OnError,
    children::take_ids,
    drive,
    observed::Introduction,
    observed_future::{ObservedFuture, PartResult},
    panics::{drop_quietly, go_on, log_panic_text},
    state::{GroupPhase, Run, Shared},
    turns,
    verdict::Cause,
};
use crate::{
    cancel::{CancelReason, Interrupted},
    panics::{Payload, bury, caught, text_of},
    work::{WorkKind, observers::anybody},
};

pin_project! {
    /// An item under way. Its destructor does not unwind: where it does, `FuturesUnordered` leaks all the others.
    struct Item<F> {
        #[pin]
        future: Option<ObservedFuture<F>>,
        panics: Arc<Panics>,
    }

    impl<F> PinnedDrop for Item<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Err(payload) = caught(|| this.future.set(None)) {
                this.panics.keep(payload);
            }
        }
    }
}

impl<F> Future for Item<F>
where
    F: Future,
    F::Output: PartResult,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let future = self.project().future.as_pin_mut();
        future.map_or(Poll::Pending, |future| future.poll(cx))
    }
}

/// The first panic of those that nobody has asked for yet.
#[derive(Default)]
struct Panics(Mutex<Option<Payload>>);

impl Panics {
    fn keep(&self, payload: Payload) {
        let later = match &mut *self.lock() {
            Some(_) => Some(payload),
            none => {
                *none = Some(payload);
                None
            }
        };
        later.into_iter().for_each(bury);
    }

    fn first(&self) -> Result<(), Payload> {
        self.lock().take().map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Payload>> {
        // Nothing of others runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The results of items in completion order. At most the group's limit of them exist as futures at a time.
///
/// The items live in here, not in the group, so they may borrow from the call; dropping this drops them.
pub(super) struct Mapped<'g, 'env, E, I, F, Fut> {
    shared: &'g Arc<Shared<'env, E>>,
    items: Option<I>,
    make: F,
    under_way: FuturesUnordered<Item<Fut>>,
    /// What destructors of items have panicked with.
    panics: Arc<Panics>,
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
            panics: Arc::default(),
            gave_way: false,
            awaiter: take_ids(1).start,
            made_at,
        }
    }

    /// Drops all items, those under way first. Returns the first panic of each.
    fn stop(&mut self) -> [Result<(), Payload>; 2] {
        self.under_way.clear();
        [self.panics.first(), caught(|| self.items = None)]
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
    fn item(&self, future: Fut) -> Item<Fut> {
        let part = anybody().then(|| {
            self.shared.observe(self.shared.lock()).part(&Introduction {
                id: take_ids(1).start,
                kind: WorkKind::Item,
                name: None,
                made_at: Some(self.made_at),
            })
        });
        Item {
            future: Some(ObservedFuture::new(future, part)),
            panics: self.panics.clone(),
        }
    }

    /// Drops all items because one has failed.
    fn fall(&mut self) -> [Result<(), Payload>; 2] {
        if let Some(observed) = self.shared.observed.get() {
            observed.is_failing();
        }
        self.stop()
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
        let fallen = self.fall();
        self.shared.fail(self.awaiter, error);
        go_on(fallen);
        self.interrupted(Interrupted::Cancelled(CancelReason::SiblingFailed))
    }

    /// An item is a child: its panic ends the group, and resumes in `run` or here.
    fn panicked(&mut self, payload: Payload) -> E {
        log_panic_text("an item of a task group's map panicked", &payload);
        // The first panic counts.
        drop_quietly(self.fall());
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
            go_on(this.stop());
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
        let polled = caught(|| this.under_way.poll_next_unpin(cx));
        match polled.and_then(|polled| this.panics.first().map(|()| polled)) {
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
        go_on(self.stop());
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
