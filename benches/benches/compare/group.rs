//! A group of children that are spawned and awaited, against everything people use for that.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use benches::{Contest, Side};
use futures_concurrency::future::TryJoin;
use futures_util::{StreamExt, future::try_join_all, stream::FuturesUnordered};
use nexios::{Interrupted, Task, TaskGroup};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

pub(crate) type Named = (String, Box<dyn FnOnce() -> Contest>);

/// A child that is woken once before it is ready.
struct Child {
    value: u64,
    yielded: bool,
}

impl Future for Child {
    type Output = Result<u64, Interrupted>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.yielded {
            return Poll::Ready(Ok(self.value));
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Children are ready at once, or yield once.
fn child(value: u64, yields: bool) -> Child {
    Child {
        value,
        yielded: !yields,
    }
}

pub(crate) fn contests() -> Vec<Named> {
    let mut contests: Vec<Named> = Vec::new();
    for runtime in ["current_thread", "multi_thread"] {
        for yields in [false, true] {
            for size in [4, 16, 64] {
                let kind = if yields { "yield_once" } else { "ready" };
                let name = format!("group/spawn_await/{kind}/{runtime}/{size}");
                let title = name.clone();
                contests.push((
                    name,
                    Box::new(move || {
                        counted(
                            in_task(title, &runtime_named(runtime), size, yields),
                            runtime,
                        )
                    }),
                ));
            }
        }
        let name = format!("group/spawn_parallel/{runtime}/64");
        let title = name.clone();
        contests.push((
            name,
            Box::new(move || counted(parallel(title, &runtime_named(runtime), 64), runtime)),
        ));
    }
    contests
}

/// Allocations can be counted where everything happens on one thread.
pub(crate) fn counted(contest: Contest, runtime: &str) -> Contest {
    if runtime == "current_thread" {
        contest
    } else {
        contest.without_allocations()
    }
}

pub(crate) fn runtime_named(name: &str) -> Rc<Runtime> {
    let built = match name {
        "current_thread" => Builder::new_current_thread().enable_all().build(),
        _ => Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build(),
    };
    Rc::new(built.expect("a runtime can be built on a machine that runs benches"))
}

/// One way of doing the work, in a task of the runtime as in a server.
pub(crate) fn spawned<Fut>(
    who: &'static str,
    runtime: &Rc<Runtime>,
    work: impl Fn() -> Fut + Clone + Send + 'static,
) -> Side
where
    Fut: Future<Output = u64> + Send + 'static,
{
    let runtime = runtime.clone();
    Side::new(who, move |repeats| {
        let work = work.clone();
        let task = runtime.spawn(async move {
            for _ in 0..repeats {
                std::hint::black_box(work().await);
            }
        });
        runtime
            .block_on(task)
            .expect("a bench has no panic of its own");
    })
}

/// Spawns inside `run` and awaits every handle.
async fn sum_of<'env>(
    group: &TaskGroup<'env, Interrupted>,
    spawn: impl FnOnce() -> Vec<Task<'env, u64, Interrupted>>,
) -> u64 {
    let sum = group.run(async {
        let mut sum = 0;
        for task in spawn() {
            sum += task.await?;
        }
        Ok(sum)
    });
    sum.await.unwrap_or_default()
}

async fn join_set(size: u64, yields: bool) -> u64 {
    let mut set = JoinSet::new();
    for value in 0..size {
        set.spawn(child(value, yields));
    }
    let mut sum = 0;
    while let Some(joined) = set.join_next().await {
        sum += joined.map_or(0, Result::unwrap_or_default);
    }
    sum
}

fn in_task(name: String, runtime: &Rc<Runtime>, size: u64, yields: bool) -> Contest {
    Contest::new(name, size)
        .side(
            spawned("nexios", runtime, move || async move {
                let group = TaskGroup::new();
                sum_of(&group, || {
                    (0..size)
                        .map(|value| group.spawn(child(value, yields)))
                        .collect()
                })
                .await
            })
            .goal("JoinSet", 0.5)
            .goal("FuturesUnordered", 1.2),
        )
        .side(spawned("JoinSet", runtime, move || join_set(size, yields)))
        .side(spawned("FuturesUnordered", runtime, move || async move {
            let mut set = FuturesUnordered::new();
            for value in 0..size {
                let boxed: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(child(value, yields));
                set.push(boxed);
            }
            let mut sum = 0;
            while let Some(result) = set.next().await {
                sum += result.unwrap_or_default();
            }
            sum
        }))
        .side(spawned("try_join_all", runtime, move || async move {
            let all = try_join_all((0..size).map(|value| child(value, yields))).await;
            all.unwrap_or_default().into_iter().sum()
        }))
        .side(spawned(
            "futures-concurrency",
            runtime,
            move || async move {
                let all: Vec<_> = (0..size).map(|value| child(value, yields)).collect();
                all.try_join().await.unwrap_or_default().into_iter().sum()
            },
        ))
        .side(spawned("moro", runtime, move || async move {
            moro::async_scope!(|scope| {
                let tasks: Vec<_> = (0..size)
                    .map(|value| scope.spawn(child(value, yields)))
                    .collect();
                let mut sum = 0;
                for task in tasks {
                    sum += task.await.unwrap_or_default();
                }
                Ok::<_, Infallible>(sum)
            })
            .await
            .unwrap_or_default()
        }))
        .side(spawned(
            "four in tokio::join!",
            runtime,
            move || async move {
                // The floor: no list, no allocation. It does four children at a time.
                let mut sum = 0;
                for value in 0..size / 4 {
                    let (a, b, c, d) = tokio::join!(
                        child(value, yields),
                        child(value, yields),
                        child(value, yields),
                        child(value, yields)
                    );
                    sum += [a, b, c, d]
                        .into_iter()
                        .map(Result::unwrap_or_default)
                        .sum::<u64>();
                }
                sum
            },
        ))
}

fn parallel(name: String, runtime: &Rc<Runtime>, size: u64) -> Contest {
    Contest::new(name, size)
        .side(
            spawned("nexios", runtime, move || async move {
                let group = TaskGroup::new();
                sum_of(&group, || {
                    (0..size)
                        .map(|value| group.spawn_parallel(child(value, true)))
                        .collect()
                })
                .await
            })
            .goal("JoinSet", 1.1),
        )
        .side(spawned("JoinSet", runtime, move || join_set(size, true)))
}
