//! What a caller gets.

use std::{panic::AssertUnwindSafe, thread};

use futures_util::FutureExt;
use nexios::{Overload, ThreadPool, run_in_threadpool};

use super::{block_on, pool, until};

/// TP-001, P7: the value comes back, from another thread.
#[tokio::test(start_paused = true)]
async fn the_closures_value_comes_back_from_another_thread() {
    let here = thread::current().id();
    let (value, there) = run_in_threadpool(|| (7, thread::current().id())).await;
    assert_eq!(value, 7);
    assert_ne!(there, here);
}

/// TP-001, P9: while a closure works the runtime goes on.
#[tokio::test(start_paused = true)]
async fn the_caller_does_not_block_its_runtime() {
    let gate = super::Gate::default();
    let running = tokio::spawn(run_in_threadpool(gate.guard()));
    until(|| gate.arrived() == 1).await;
    gate.open();
    running.await.unwrap();
}

/// TP-002: an `Err` is a value like any other.
#[tokio::test(start_paused = true)]
async fn a_closures_error_comes_back_as_it_is() {
    let failed: Result<(), String> = run_in_threadpool(|| Err(String::from("no picture"))).await;
    assert_eq!(failed.unwrap_err(), "no picture");
}

/// TP-002, P6: the panic is the caller's, the thread goes on.
#[tokio::test(start_paused = true)]
async fn a_panic_resumes_in_the_caller_with_its_payload_and_the_thread_survives() {
    let pool = pool(1, 4, Overload::Wait);
    let first = pool.run(|| thread::current().id()).await.unwrap();
    let caught = AssertUnwindSafe(pool.run(|| std::panic::panic_any(42_u8)))
        .catch_unwind()
        .await;
    assert_eq!(*caught.unwrap_err().downcast::<u8>().unwrap(), 42);
    assert_eq!(pool.run(|| thread::current().id()).await.unwrap(), first);
    let stats = pool.stats();
    assert_eq!((stats.completed, stats.running), (3, 0));
}

struct PanicsOnDrop;
impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("destructor");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_captures_destructor_resumes_in_the_caller() {
    let pool = pool(1, 4, Overload::Wait);
    let first = pool.run(|| thread::current().id()).await.unwrap();
    let captured = PanicsOnDrop;
    let caught = AssertUnwindSafe(pool.run(move || {
        let _captured = &captured;
    }))
    .catch_unwind()
    .await;
    assert_eq!(
        *caught.unwrap_err().downcast::<&str>().unwrap(),
        "destructor"
    );
    assert_eq!(pool.run(|| thread::current().id()).await.unwrap(), first);
}

/// The thread survives what has no caller left: an unwanted result's destructor, a panic, and a payload whose
/// own destructor panics.
#[tokio::test(start_paused = true)]
async fn a_panic_after_the_caller_has_gone_does_not_end_the_thread() {
    let pool = pool(1, 4, Overload::Wait);
    let first = pool.run(|| thread::current().id()).await.unwrap();
    for kind in 0..3 {
        let gate = super::Gate::default();
        let guard = gate.guard();
        let call = tokio::spawn({
            let pool = pool.clone();
            async move {
                pool.run(move || {
                    guard();
                    match kind {
                        0 => Some(PanicsOnDrop),
                        1 => panic!("nobody hears this"),
                        _ => std::panic::panic_any(PanicsOnDrop),
                    }
                })
                .await
            }
        });
        until(|| gate.arrived() == 1).await;
        call.abort();
        until(|| call.is_finished()).await;
        gate.open();
        until(|| pool.stats().running == 0).await;
    }
    assert_eq!(pool.run(|| thread::current().id()).await.unwrap(), first);
    assert_eq!(pool.stats().completed, 5);
}

#[test]
fn it_works_without_a_runtime() {
    let pool = pool(2, 4, Overload::Wait);
    assert_eq!(block_on(pool.run(|| 1)), Ok(1));
    assert_eq!(block_on(run_in_threadpool(|| 2)), 2);
    assert_eq!(
        block_on(pool.run_with(|token| token.is_cancelled())),
        Ok(false)
    );
    block_on(pool.close());
}

/// TP-023.
#[tokio::test(start_paused = true)]
async fn threads_carry_the_pools_name() {
    let pool = ThreadPool::builder().name("thumbnails").threads(1).build();
    let name = pool
        .run(|| thread::current().name().map(str::to_owned))
        .await
        .unwrap();
    assert_eq!(name.as_deref(), Some("thumbnails-0"));
    assert_eq!(pool.name(), "thumbnails");
    assert!(format!("{pool:?}").contains("thumbnails"));
    let odd = ThreadPool::builder().name("a\0b").threads(1).build();
    assert_eq!(
        odd.run(|| thread::current().name().map(str::to_owned))
            .await
            .unwrap()
            .as_deref(),
        Some("ab-0")
    );
}

#[test]
fn zero_threads_is_refused_at_the_callers_line() {
    let place = std::sync::Mutex::new(None);
    let place = std::sync::Arc::new(place);
    let seen = place.clone();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info
            .location()
            .is_some_and(|location| location.file().ends_with("outcome.rs"))
        {
            *seen.lock().unwrap() = info.location().map(|location| location.line());
        }
    }));
    let caught = std::panic::catch_unwind(|| ThreadPool::builder().threads(0)).map(drop);
    let line = line!() - 1;
    std::panic::set_hook(before);
    let message = caught.unwrap_err().downcast::<&str>().unwrap();
    assert!(message.contains("threads(0)"), "{message}");
    assert_eq!(*place.lock().unwrap(), Some(line));
}

/// P1, PITFALLS 2.5: a thread a core by default, and a pool of its own size for other work.
#[test]
fn the_global_pool_has_a_thread_a_core() {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    assert_eq!(ThreadPool::global().stats().threads, cores);
    assert_eq!(ThreadPool::builder().build().stats().threads, cores);
    assert_eq!(ThreadPool::builder().threads(3).build().stats().threads, 3);
}

/// TP-012: an async closure is a closure that returns a future; it is not polled, it comes back.
#[tokio::test(start_paused = true)]
async fn an_async_closures_future_comes_back_unpolled() {
    let pool = pool(1, 4, Overload::Wait);
    let there = pool.run(|| async { thread::current().id() }).await.unwrap();
    assert_eq!(there.await, thread::current().id());
}
