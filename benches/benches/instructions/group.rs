//! Children that are ready at once, spawned and awaited; and the same with all that a group gives, by hand.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use nexios::{Interrupted, Task, TaskGroup};
use tokio::{
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
};

use crate::contest::Contest;

pub(crate) fn contests() -> Vec<Contest> {
    vec![
        ready("group/ready/3", 3, 0.6, 2.0),
        ready("group/ready/16", 16, 0.47, 1.8),
        ready("group/ready/64", 64, 0.45, 1.65),
        parallel("group/parallel/16", 16),
        by_hand("group/with_everything/8", 8),
    ]
}

async fn child(value: u64) -> Result<u64, Interrupted> {
    Ok(value)
}

/// A child that does not end at its first poll.
async fn yielding(value: u64) -> Result<u64, Interrupted> {
    tokio::task::yield_now().await;
    Ok(value)
}

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

async fn join_set<F>(futures: impl Iterator<Item = F>) -> u64
where
    F: Future<Output = Result<u64, Interrupted>> + Send + 'static,
{
    let mut set: JoinSet<_> = futures.collect();
    let mut sum = 0;
    while let Some(joined) = set.join_next().await {
        sum += joined.map_or(0, Result::unwrap_or_default);
    }
    sum
}

fn ready(name: &'static str, size: u64, of_join_set: f64, of_unordered: f64) -> Contest {
    Contest::new(name, size)
        .side("nexios", move || async move {
            let group = TaskGroup::new();
            sum_of(&group, || {
                (0..size).map(|value| group.spawn(child(value))).collect()
            })
            .await
        })
        .rival("JoinSet", of_join_set, move || {
            join_set((0..size).map(child))
        })
        .rival(
            "FuturesUnordered, boxed",
            of_unordered,
            move || async move {
                let mut set = FuturesUnordered::new();
                for value in 0..size {
                    let boxed: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(child(value));
                    set.push(boxed);
                }
                let mut sum = 0;
                while let Some(result) = set.next().await {
                    sum += result.unwrap_or_default();
                }
                sum
            },
        )
}

fn parallel(name: &'static str, size: u64) -> Contest {
    Contest::new(name, size)
        .side("nexios", move || async move {
            let group = TaskGroup::new();
            sum_of(&group, || {
                (0..size)
                    .map(|value| group.spawn_parallel(yielding(value)))
                    .collect()
            })
            .await
        })
        .rival("JoinSet", 1.1, move || join_set((0..size).map(yielding)))
}

/// Aborts what is left when it is dropped, as the group does; with the name for the log.
struct Named {
    name: &'static str,
    abort: AbortHandle,
}

impl Drop for Named {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

/// Names, the first error, an abort on drop, a time limit and a limit.
fn by_hand(name: &'static str, size: u64) -> Contest {
    const LIMIT: usize = 4;
    const TIMEOUT: Duration = Duration::from_secs(30);
    Contest::new(name, size)
        .side("nexios", move || async move {
            let group = TaskGroup::builder().limit(LIMIT).timeout(TIMEOUT).build();
            let run = group.run(async {
                let tasks: Vec<_> = (0..size)
                    .map(|value| group.spawn_named("part", yielding(value)))
                    .collect();
                let mut sum = 0;
                for task in tasks {
                    sum += task.await?;
                }
                Ok::<_, Interrupted>(sum)
            });
            run.await.unwrap_or_default()
        })
        .rival(
            "JoinSet, Semaphore, timeout, abort guard",
            0.7,
            move || async move {
                let places = Arc::new(Semaphore::new(LIMIT));
                let mut set = JoinSet::new();
                let mut guards = Vec::new();
                for value in 0..size {
                    let places = places.clone();
                    let abort = set.spawn(async move {
                        let _place = places.acquire_owned().await;
                        yielding(value).await
                    });
                    guards.push(Named {
                        name: "part",
                        abort,
                    });
                }
                let all = async {
                    let mut sum = 0;
                    while let Some(joined) = set.join_next().await {
                        match joined {
                            Ok(Ok(value)) => sum += value,
                            Ok(Err(error)) => return Err(error),
                            Err(_) => return Err(Interrupted::DeadlineExceeded),
                        }
                    }
                    Ok(sum)
                };
                let sum = tokio::time::timeout(TIMEOUT, all).await;
                std::hint::black_box(guards.iter().map(|guard| guard.name.len()).sum::<usize>());
                sum.unwrap_or(Err(Interrupted::DeadlineExceeded))
                    .unwrap_or_default()
            },
        )
}
