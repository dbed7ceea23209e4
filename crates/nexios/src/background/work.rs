//! How the user's future or closure becomes the work that a driver polls. No closure is called before the first
//! poll.

use std::{fmt, future::Future, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{Either, select},
};
use tokio::{
    task::consume_budget,
    time::{Instant, sleep, sleep_until},
};

use crate::{CancelScope, cancel::TokenSource, punctual::punctual};

use super::{
    context::TaskContext,
    driver::{End, Work},
    outcome::{Outcome, contain, panic_text},
    record::Record,
    registry::Registry,
    report,
    retry::Retry,
};

/// Turns what the user's future returned into an outcome.
pub(super) trait Judge<R>: Send + 'static {
    fn judge(value: R) -> Outcome<R>;
}

/// Any value is a success.
pub(super) struct AnyValue;

impl<T> Judge<T> for AnyValue {
    fn judge(value: T) -> Outcome<T> {
        Outcome::Completed(value)
    }
}

/// An `Err` is a failure.
pub(super) struct OkValue;

impl<T, E: fmt::Display> Judge<Result<T, E>> for OkValue {
    fn judge(value: Result<T, E>) -> Outcome<Result<T, E>> {
        match value {
            Ok(value) => Outcome::Completed(Ok(value)),
            Err(error) => {
                let text = error.to_string();
                Outcome::Failed(Err(error), text)
            }
        }
    }
}

/// A future without a context.
pub(super) fn plain<T, Fut>(
    _: &End,
    future: Fut,
) -> impl Future<Output = Outcome<T>> + Send + 'static + use<T, Fut>
where
    T: Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    future.map(Outcome::Completed)
}

/// A closure that is called once.
pub(super) fn once<T, J, F, Fut>(
    end: &End,
    closure: F,
) -> impl Future<Output = Outcome<T>> + Send + 'static + use<T, J, F, Fut>
where
    T: Send + 'static,
    J: Judge<T>,
    F: FnOnce(TaskContext) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let context = TaskContext::new(end.record.clone(), 1);
    async move { J::judge(closure(context).await) }
}

/// A closure that is called once and has so much time.
pub(super) fn once_within<T, J, F, Fut>(end: &End, limit: Duration, closure: F) -> Work<T>
where
    T: Send + 'static,
    J: Judge<T>,
    F: FnOnce(TaskContext) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    limited(end, limit, once::<T, J, _, _>(end, closure))
}

/// A closure that is called again after a failure.
pub(super) fn retried<T, J, F, Fut>(end: &End, limit: Option<Duration>, retry: &Retry, closure: F) -> Work<T>
where
    T: Send + 'static,
    J: Judge<T>,
    F: Fn(TaskContext) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let delays = retry.delays();
    let body = attempts::<T, J, _, _>(end.registry.clone(), end.record.clone(), delays, closure);
    match limit {
        None => Box::pin(body),
        Some(limit) => limited(end, limit, body),
    }
}

async fn attempts<T, J, F, Fut>(
    registry: Arc<Registry>,
    record: Arc<Record>,
    mut delays: impl Iterator<Item = Duration> + Send,
    closure: F,
) -> Outcome<T>
where
    T: Send + 'static,
    J: Judge<T>,
    F: Fn(TaskContext) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let mut attempt = 1;
    loop {
        let context = TaskContext::new(record.clone(), attempt);
        let outcome = match contain(|| closure(context)) {
            Ok(future) => AssertUnwindSafe(future.map(J::judge))
                .catch_unwind()
                .await
                .unwrap_or_else(|payload| Outcome::Panicked(panic_text(payload))),
            Err(text) => Outcome::Panicked(text),
        };
        let error = match &outcome {
            Outcome::Failed(_, error) | Outcome::Panicked(error) if !record.is_cancelled() => error.clone(),
            _ => return outcome,
        };
        let Some(delay) = delays.next() else {
            return outcome;
        };
        drop(outcome);
        report::retry(&record, attempt, &error, delay);
        record.set_error(error);
        registry.set_retrying(&record, true);
        let token = record.token();
        // The token first: a cancellation in the moment in which the wait is over begins no attempt.
        if let Either::Left(_) = select(pin!(token.cancelled()), pin!(punctual(sleep(delay)))).await {
            return Outcome::Cancelled;
        }
        // Attempts that fail at once, without a delay, would keep their thread and the time limit waiting.
        consume_budget().await;
        registry.set_retrying(&record, false);
        attempt += 1;
        record.set_attempt(attempt);
    }
}

/// Drops `body` at its limit, counted from its first poll.
fn limited<T, B>(end: &End, limit: Duration, body: B) -> Work<T>
where
    T: Send + 'static,
    B: Future<Output = Outcome<T>> + Send + 'static,
{
    let record = end.record.clone();
    Box::pin(async move {
        let Some(deadline) = Instant::now().checked_add(limit) else {
            // A limit beyond what the clock can tell is none.
            return body.await;
        };
        let body = pin!(CancelScope::on_demand(record, Some(deadline)).run(body));
        match select(body, pin!(punctual(sleep_until(deadline)))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Outcome::TimedOut,
        }
    })
}
