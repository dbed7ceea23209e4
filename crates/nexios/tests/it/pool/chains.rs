//! Jobs that own the calls of other jobs, in a long row: the stack does not grow with its length.

use std::{future::Future, pin::Pin};

use nexios::{Overload, PoolError, ThreadPool};

use super::{Drops, Gate, occupy, pool};

/// Far more than a stack has room for.
const LENGTH: usize = 100_000;

type Accepted<T> = Pin<Box<dyn Future<Output = Result<T, PoolError>> + Send>>;

/// Queued jobs, each of whose closures owns the call of the next one.
fn queued(pool: &ThreadPool, drops: &Drops) -> Accepted<()> {
    let submit = |next: Option<Accepted<()>>| {
        let dropped = drops.token();
        pool.try_run(move || drop((next, dropped)))
            .map_err(|_| "there is room")
            .unwrap()
    };
    (0..LENGTH).fold(submit(None), |next, _| submit(Some(next)))
}

#[tokio::test]
async fn the_caller_of_a_chain_of_queued_jobs_may_leave() {
    let (gate, drops) = (Gate::default(), Drops::default());
    let pool = pool(1, 2 * LENGTH, Overload::Shed);
    let _running = occupy(&pool, &gate).await;
    drop(queued(&pool, &drops));
    assert_eq!((drops.count(), pool.stats().queued), (LENGTH + 1, 0));
    assert_eq!(pool.stats().cancelled as usize, LENGTH + 1);
}

#[tokio::test]
async fn a_pool_with_a_chain_of_queued_jobs_may_be_closed() {
    let (gate, drops) = (Gate::default(), Drops::default());
    let pool = pool(1, 2 * LENGTH, Overload::Shed);
    let _running = occupy(&pool, &gate).await;
    let first = queued(&pool, &drops);
    gate.open();
    pool.close().await;
    super::until(|| drops.count() == LENGTH + 1).await;
    drop(first);
}

#[tokio::test]
async fn the_first_of_a_chain_of_queued_jobs_may_drop_the_others() {
    let (gate, drops) = (Gate::default(), Drops::default());
    let pool = pool(
        1,
        2 * LENGTH,
        Overload::ShedAfter(std::time::Duration::from_secs(600)),
    );
    let _running = occupy(&pool, &gate).await;
    let rest = queued(&pool, &drops);
    let first = pool
        .try_run(move || drop(rest))
        .map_err(|_| "there is room")
        .unwrap();
    gate.open();
    drop(pool);
    // The others may have run before it.
    super::awake(first).await.unwrap();
    super::until(|| drops.count() == LENGTH + 1).await;
}

/// A result that nobody takes owns the call whose result owns a call, and so on.
#[tokio::test]
async fn the_caller_of_a_chain_of_results_may_leave() {
    struct Owned(#[expect(dead_code, reason = "it is only owned")] Option<Accepted<Owned>>);
    let pool = pool(1, 2 * LENGTH, Overload::Shed);
    let submit = |next: Option<Accepted<Owned>>| {
        pool.try_run(move || Owned(next))
            .map_err(|_| "there is room")
            .unwrap()
    };
    let first = (0..LENGTH).fold(submit(None), |next, _| submit(Some(next)));
    super::until(|| pool.stats().completed as usize == LENGTH + 1).await;
    drop(first);
}
