//! What a closure finds around it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use nexios::{CancelScope, CancelToken, Overload};
use tokio::runtime::{Builder, Handle};
use tracing::{
    Event, Instrument, Metadata, Subscriber, info_span,
    span::{Attributes, Id, Record},
    subscriber,
};
use tracing_core::span::Current;

use super::{Gate, block_on, occupy, poll_once, pool};

/// A subscriber that knows the current span of each thread, and the span of each event.
#[derive(Default)]
struct Spans {
    next: AtomicU64,
    names: Mutex<Vec<&'static Metadata<'static>>>,
    entered: Mutex<Vec<(std::thread::ThreadId, u64)>>,
    events: Mutex<Vec<Option<&'static str>>>,
}

impl Spans {
    fn current(&self) -> Option<(u64, &'static Metadata<'static>)> {
        let thread = std::thread::current().id();
        let entered = self.entered.lock().unwrap();
        let (_, id) = entered.iter().rev().find(|(at, _)| *at == thread)?;
        Some((*id, self.names.lock().unwrap()[*id as usize - 1]))
    }
}

struct Recorder(Arc<Spans>);

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.0.names.lock().unwrap().push(span.metadata());
        Id::from_u64(self.0.next.fetch_add(1, Ordering::SeqCst) + 1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        let current = self.0.current().map(|(_, span)| span.name());
        self.0.events.lock().unwrap().push(current);
    }
    fn enter(&self, span: &Id) {
        self.0
            .entered
            .lock()
            .unwrap()
            .push((std::thread::current().id(), span.into_u64()));
    }
    fn exit(&self, span: &Id) {
        let mut entered = self.0.entered.lock().unwrap();
        let at = (std::thread::current().id(), span.into_u64());
        let position = entered.iter().rposition(|entry| *entry == at).unwrap();
        entered.remove(position);
    }
    fn current_span(&self) -> Current {
        match self.0.current() {
            Some((id, span)) => Current::new(Id::from_u64(id), span),
            None => Current::none(),
        }
    }
}

fn current_name() -> Option<&'static str> {
    tracing::Span::current().metadata().map(Metadata::name)
}

/// TP-013, P5, PITFALLS 2.8, RS-011: also with a subscriber that only the caller's thread has.
#[tokio::test(start_paused = true)]
async fn the_callers_span_is_current_inside() {
    let spans = Arc::new(Spans::default());
    let _default = subscriber::set_default(Recorder(spans.clone()));
    let pool = pool(1, 4, Overload::Wait);
    let inside = || {
        tracing::info!("inside");
        current_name()
    };
    assert_eq!(
        pool.run(inside).instrument(info_span!("request")).await,
        Ok(Some("request"))
    );
    assert_eq!(
        pool.run(current_name).await,
        Ok(None),
        "and it is left behind"
    );
    let accepted = info_span!("outer")
        .in_scope(|| pool.try_run(inside))
        .ok()
        .unwrap();
    assert_eq!(accepted.await, Ok(Some("outer")));
    assert_eq!(
        *spans.events.lock().unwrap(),
        [Some("request"), Some("outer")]
    );
}

/// Span and runtime go with a job whoever runs it: a thread that comes late, or a waiter.
#[tokio::test(start_paused = true)]
async fn each_job_finds_its_own_callers_span_and_runtime() {
    let spans = Arc::new(Spans::default());
    let _default = subscriber::set_default(Recorder(spans));
    let pool = pool(1, 4, Overload::Wait);
    let gate = Gate::default();
    let running = occupy(&pool, &gate).await;
    let mut queued = Box::pin(pool.run(current_name).instrument(info_span!("queued")));
    assert!(poll_once(&mut queued).is_pending());
    gate.open();
    assert_eq!(queued.await, Ok(Some("queued")));
    for call in running {
        call.await.unwrap().unwrap();
    }

    let (first, second) = (pool.clone(), pool.clone());
    let nested = pool.run(move || {
        info_span!("first").in_scope(|| {
            block_on(first.run(move || {
                let inner =
                    block_on(second.run(current_name).instrument(info_span!("second"))).unwrap();
                (current_name(), inner, Handle::try_current().is_ok())
            }))
        })
    });
    let nested = nested.instrument(info_span!("outer"));
    assert_eq!(nested.await, Ok(Ok((Some("first"), Some("second"), true))));
}

#[tokio::test(start_paused = true)]
async fn the_callers_runtime_is_current_inside() {
    let pool = pool(1, 4, Overload::Wait);
    let id = Handle::current().id();
    let there = pool
        .run(|| {
            let spawned = Handle::current().spawn(async { 5 });
            (
                Handle::current().id(),
                Handle::current().block_on(spawned).unwrap(),
            )
        })
        .await;
    assert_eq!(there, Ok((id, 5)));
}

/// TP-013, PITFALLS 1.8 (tokio#2126, rustango#1381): span and runtime, nothing else.
#[tokio::test(start_paused = true)]
async fn nothing_else_of_the_caller_is_inside() {
    tokio::task_local! {
        static TENANT: u32;
    }
    let pool = pool(1, 4, Overload::Wait);
    let inside = || {
        (
            TENANT.try_with(|tenant| *tenant).is_ok(),
            CancelScope::current().is_some(),
        )
    };
    let scope = CancelScope::new(CancelToken::new(), None);
    let call = TENANT.scope(7, scope.run(pool.run(inside)));
    assert_eq!(call.await, Ok((false, false)));
}

/// TP-016: nothing but the caller's runtime can be called back; without one that is an error, not a hang.
#[test]
fn without_a_runtime_there_is_none_inside() {
    let pool = pool(1, 4, Overload::Wait);
    assert_eq!(
        block_on(pool.run(|| Handle::try_current().is_err())),
        Ok(true)
    );
}

/// RS-005: a current-thread runtime, a local set, a plain thread.
#[test]
fn calls_work_from_any_context() {
    let pool = pool(1, 4, Overload::Wait);
    let runtime = Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(pool.run(|| 1)), Ok(1));
    let local = tokio::task::LocalSet::new();
    let (one, two) = (pool.clone(), pool);
    local.spawn_local(async move { assert_eq!(one.run(|| 2).await, Ok(2)) });
    runtime.block_on(local);
    assert_eq!(
        std::thread::spawn(move || block_on(two.run(|| 3)))
            .join()
            .unwrap(),
        Ok(3)
    );
}

/// TP-017: a closure that outlives its runtime and calls back gets an error.
#[test]
fn a_call_back_into_a_runtime_that_has_ended_is_an_error() {
    let pool = pool(1, 4, Overload::Wait);
    let gate = Gate::default();
    let (send, seen) = std::sync::mpsc::channel();
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let guard = gate.guard();
    let accepted = {
        let _runtime = runtime.enter();
        pool.try_run(move || {
            guard();
            send.send(block_on(Handle::current().spawn(async { 1 })))
                .unwrap();
        })
    };
    let accepted = accepted.ok().unwrap();
    while gate.arrived() == 0 {
        std::thread::yield_now();
    }
    runtime.shutdown_background();
    gate.open();
    assert_eq!(block_on(accepted), Ok(()));
    assert!(
        seen.recv()
            .unwrap()
            .is_err_and(|error| error.is_cancelled())
    );
}

/// TP-007, TP-025: a runtime may go while its job runs, and comes to its end.
#[test]
fn a_runtime_that_ends_does_not_disturb_a_job() {
    let pool = pool(1, 4, Overload::Wait);
    let gate = Gate::default();
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let call = runtime.spawn({
        let (pool, guard) = (pool.clone(), gate.guard());
        async move { pool.run(guard).await }
    });
    while gate.arrived() == 0 {
        std::thread::yield_now();
    }
    runtime.shutdown_background();
    while !call.is_finished() {
        std::thread::yield_now();
    }
    gate.open();
    assert_eq!(block_on(pool.run(|| 1)), Ok(1));
    assert_eq!(pool.stats().completed, 2);
}
