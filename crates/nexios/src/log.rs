//! Lines and spans of the log, written so that they cannot hurt, and what is worth a line: a panic that nobody can take.
//!
//! A subscriber may panic: one that writes to a stderr that is closed or to a full disk does. A panic in a destructor,
//! or while another one is on its way, aborts the process, and one between two steps of ours loses the second. So a
//! subscriber that panics loses its line, and nothing else.

use std::{
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tracing::{Level, Span, level_filters::LevelFilter};

use crate::panics::{Payload, bury, caught, text_of};

/// Writes a line, wherever that may be: in a destructor too, and while a panic unwinds.
pub(crate) fn say(line: impl FnOnce()) {
    let _ = contained(line);
}

/// Runs code of others where nobody can take its panic; `line` writes what became of it, with the panic's text.
pub(crate) fn contain(f: impl FnOnce(), line: impl FnOnce(&str)) {
    if let Err(payload) = caught(f) {
        tell(payload, line);
    }
}

/// Writes a line about a panic that nobody can take, and drops what it carries.
pub(crate) fn tell(payload: Payload, line: impl FnOnce(&str)) {
    say(|| line(text_of(&*payload)));
    bury(payload);
}

/// Makes a span of this level if somebody listens; none if the subscriber panics.
pub(crate) fn span(level: Level, make: impl FnOnce() -> Span) -> Option<Span> {
    // Asked first: with tracing's feature `log`, a span that nobody listens to is still written somewhere.
    if level > LevelFilter::current() {
        return None;
    }
    contained(make).filter(|span| !span.is_disabled())
}

/// The span that is current here, if there is one; none if the subscriber panics.
pub(crate) fn current_span() -> Option<Span> {
    contained(Span::current).filter(|span| !span.is_none())
}

/// Calls `f` inside `span`, if there is one.
pub(crate) fn inside<R>(span: Option<&Span>, f: impl FnOnce() -> R) -> R {
    let Some(span) = span else { return f() };
    let entered = contained(|| span.enter());
    // Caught, as leaving the span while a panic unwinds must not bring a second one.
    let result = caught(f);
    let _ = contained(|| drop(entered));
    result.unwrap_or_else(|payload| resume_unwind(payload))
}

/// Ends a span, if there is one.
pub(crate) fn close(span: Option<Span>) {
    let _ = contained(|| drop(span));
}

pin_project! {
    /// A future that is polled and dropped inside a span.
    pub(crate) struct InSpan<F> {
        // There until it is dropped.
        #[pin]
        future: Option<F>,
        span: Option<Span>,
    }

    impl<F> PinnedDrop for InSpan<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let dropped = caught(|| inside(this.span.as_ref(), || this.future.set(None)));
            close(this.span.take());
            if let Err(payload) = dropped {
                resume_unwind(payload);
            }
        }
    }
}

impl<F> InSpan<F> {
    pub(crate) fn new(span: Span, future: F) -> Self {
        Self {
            future: Some(future),
            span: Some(span),
        }
    }
}

impl<F: Future> Future for InSpan<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        match this.future.as_pin_mut() {
            Some(future) => inside(this.span.as_ref(), || future.poll(cx)),
            None => Poll::Pending,
        }
    }
}

fn contained<R>(f: impl FnOnce() -> R) -> Option<R> {
    // The panic itself is told by the process's panic hook.
    caught(f).map_err(bury).ok()
}
