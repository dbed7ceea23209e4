//! How the user's future or closure becomes the work that a driver polls. No closure is called before the first
//! poll.

use std::{fmt, future::Future, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, select},
};
use tokio::{
    task::consume_budget,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    cancel::{CancelReason, CancelScope, TokenSource},
    punctual::punctual,
};

use super::{
    context::TaskContext,
    exit::{Exit, contain, panic_text},
    notices,
    record::Record,
    registry::Registry,
};

/// Turns what the user's future returned into an outcome.
pub(super) trait Judge<R>: Send + 'static {
    fn judge(value: R) -> Exit<R>;
}

/// Any value is a success.
pub(super) struct AnyValue;

impl<T> Judge<T> for AnyValue {
    fn judge(value: T) -> Exit<T> {
        Exit::Completed(value)
    }
}

/// An `Err` is a failure.
pub(super) struct OkValue;

impl<T, E: fmt::Display> Judge<Result<T, E>> for OkValue {
    fn judge(value: Result<T, E>) -> Exit<Result<T, E>> {
        match value {
            Ok(value) => Exit::Completed(Ok(value)),
            Err(error) => {
                let text = error.to_string();
                Exit::Failed(Err(error), text)
            }
        }
    }
}

/// A future without a context.
pub(super) fn plain<T>(future: impl Future<Output = T>) -> impl Future<Output = Exit<T>> {
    // Not an `async fn`: that would hold the future twice, once as argument and once as awaited.
    future.map(Exit::Completed)
}

/// A closure that is called once.
pub(super) async fn once<T, J, F, Fut>(record: Arc<Record>, closure: F) -> Exit<T>
where
    J: Judge<T>,
    F: FnOnce(TaskContext) -> Fut,
    Fut: Future<Output = T>,
{
    J::judge(closure(TaskContext::new(record, 1)).await)
}

/// A closure that is called again after a failure, as long as there are `delays`.
pub(super) async fn retried<T, J, F, Fut>(
    registry: Arc<Registry>,
    record: Arc<Record>,
    mut delays: impl Iterator<Item = Duration>,
    closure: F,
) -> Exit<T>
where
    J: Judge<T>,
    F: Fn(TaskContext) -> Fut,
    Fut: Future<Output = T>,
{
    let mut attempt = 1;
    loop {
        let context = TaskContext::new(record.clone(), attempt);
        let exit = match contain(|| closure(context)) {
            Ok(future) => AssertUnwindSafe(future.map(J::judge))
                .catch_unwind()
                .await
                .unwrap_or_else(|payload| Exit::Panicked(panic_text(payload))),
            Err(text) => Exit::Panicked(text),
        };
        let error = match &exit {
            Exit::Failed(_, error) | Exit::Panicked(error) if !record.is_cancelled() => {
                error.clone()
            }
            _ => return exit,
        };
        let Some(delay) = delays.next() else {
            return exit;
        };
        drop(exit);
        notices::retry(&record, attempt, &error, delay);
        record.set_error(error);
        registry.set_retrying(&record, true);
        let token = record.token();
        // The token first: a cancellation in the moment in which the wait is over begins no attempt.
        if let Either::Left(_) = select(pin!(token.cancelled()), pin!(punctual(sleep(delay)))).await
        {
            return Exit::Cancelled;
        }
        // Attempts that fail at once, without a delay, would keep their thread and the time limit waiting.
        consume_budget().await;
        registry.set_retrying(&record, false);
        attempt += 1;
        record.set_attempt(attempt);
    }
}

/// When the work of a task is dropped, though it would go on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WorkLimits {
    /// How long it may run, from its first poll.
    pub(super) run: Option<Duration>,
    /// How long it may go on after it was asked to end.
    pub(super) grace: Option<Duration>,
}

/// Drops `body` at its limit, counted from its first poll.
pub(super) fn within<T, B>(
    record: Arc<Record>,
    limit: Duration,
    body: B,
) -> BoxFuture<'static, Exit<T>>
where
    T: Send + 'static,
    B: Future<Output = Exit<T>> + Send + 'static,
{
    Box::pin(async move {
        let Some(deadline) = Instant::now().checked_add(limit) else {
            // A limit beyond what the clock can tell is none.
            return body.await;
        };
        let told = record.clone();
        let body = pin!(CancelScope::on_demand(record, Some(deadline)).run(body));
        match select(body, pin!(punctual(sleep_until(deadline)))).await {
            Either::Left((exit, _)) => exit,
            Either::Right(_) => {
                // Its future is still there, and its destructors may take their time.
                told.work.cancelling(CancelReason::Deadline);
                Exit::TimedOut
            }
        }
    })
}

/// Drops `body` when it has gone on for so long after the task was asked to end.
pub(super) fn graced<T, B>(
    record: Arc<Record>,
    grace: Duration,
    body: B,
) -> BoxFuture<'static, Exit<T>>
where
    T: Send + 'static,
    B: Future<Output = Exit<T>> + Send + 'static,
{
    Box::pin(async move {
        let over = pin!(async {
            record.token().cancelled().await;
            punctual(sleep(grace)).await;
        });
        match select(pin!(body), over).await {
            Either::Left((exit, _)) => exit,
            Either::Right(_) => Exit::Cancelled,
        }
    })
}
