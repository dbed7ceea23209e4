//! Who lives, and who is polled.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        // Not the model checker's: what is seen here adds no steps to the schedules.
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use shuttle::sync::atomic::AtomicBool as Step;

/// What a model knows of the children of one group.
#[derive(Clone, Default)]
pub(crate) struct Witness(Arc<Seen>);

#[derive(Default)]
struct Seen {
    made: AtomicUsize,
    dropped: AtomicUsize,
    /// A child is being polled right now.
    polled: AtomicBool,
    /// Two children were polled at the same time.
    crossed: AtomicBool,
}

/// A child that is seen.
pub(crate) struct Seeing<F> {
    future: Pin<Box<F>>,
    _alive: Alive,
}

struct Alive(Arc<Seen>);

impl Drop for Alive {
    fn drop(&mut self) {
        // A destructor takes time as well.
        others_may_go_on();
        self.0.dropped.fetch_add(1, SeqCst);
    }
}

/// A place where the model checker may change the thread. `yield_now` would ask it to, which hides schedules.
fn others_may_go_on() {
    Step::new(false).load(SeqCst);
}

impl Witness {
    pub(crate) fn child<F: Future>(&self, future: F) -> Seeing<F> {
        self.0.made.fetch_add(1, SeqCst);
        Seeing {
            future: Box::pin(future),
            _alive: Alive(self.0.clone()),
        }
    }

    /// Every one of `children` was dropped, and no two were polled at the same time.
    #[track_caller]
    pub(crate) fn all_gone(&self, children: usize) {
        assert_eq!(
            self.0.made.load(SeqCst),
            children,
            "as many children as the model says"
        );
        assert_eq!(
            self.0.dropped.load(SeqCst),
            children,
            "every child was dropped once"
        );
        assert!(!self.0.crossed.load(SeqCst), "one thread drives at a time");
    }
}

impl<F: Future> Future for Seeing<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let seen = self._alive.0.clone();
        // Noted rather than asserted: a group catches the panics of its children.
        if seen.polled.swap(true, SeqCst) {
            seen.crossed.store(true, SeqCst);
        }
        others_may_go_on();
        let polled = self.future.as_mut().poll(cx);
        others_may_go_on();
        seen.polled.store(false, SeqCst);
        polled
    }
}
