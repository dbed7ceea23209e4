//! The cost of n children grows with n, not with its square, whatever is done with them. In real time, with bounds that
//! only a square misses.

use std::{
    fmt::Write,
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use nexios::{Task, TaskGroup};
use tokio::runtime::{Builder, Runtime};

use super::probes::{Failed, counted, never, poll_once, watched};

type Group<'g> = TaskGroup<'g, Failed>;

const FEW: usize = 1_000;
const TIMES: usize = 8;
/// Between once and the eight times of a square, with room for a busy machine.
const BOUND: u32 = 4;
/// Below that the clock and the allocator are measured.
const NOISE: Duration = Duration::from_millis(1);

fn time_of<A: FnOnce()>(acts: Vec<A>) -> Duration {
    let began = Instant::now();
    acts.into_iter().for_each(|act| act());
    began.elapsed()
}

/// Asserts that one act with eight times the children takes about as long as eight acts; a square would make it eight
/// times as long. Both take the same memory and the same time, so that other load meets both; and as one measurement may say
/// anything, there are some. `between` clears up what an act has left.
fn is_linear_clearing<A: FnOnce()>(
    between: impl Fn(),
    what: &str,
    few: usize,
    prepare: impl Fn(usize) -> A,
) {
    let (mut small, mut large) = (Duration::MAX, Duration::MAX);
    for _ in 0..8 {
        small = small.min(time_of((0..TIMES).map(|_| prepare(few)).collect()));
        between();
        large = large.min(time_of(vec![prepare(few * TIMES)]));
        between();
        if large < small.max(NOISE) * BOUND {
            return;
        }
    }
    panic!(
        "{what}: {TIMES} times {few}: {small:?}, once {}: {large:?}",
        few * TIMES
    );
}

fn is_linear<A: FnOnce()>(what: &str, few: usize, prepare: impl Fn(usize) -> A) {
    is_linear_clearing(|| {}, what, few, prepare);
}

fn current() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn limited(limit: usize) -> Group<'static> {
    TaskGroup::builder().limit(limit).build()
}

/// A group with n children that have been polled and wait.
fn waiting(group: Group<'static>, n: usize) -> (Group<'static>, Vec<Task<'static, (), Failed>>) {
    let tasks = (0..n).map(|_| group.spawn(never())).collect();
    current().block_on(async {
        // A turn polls 128 at most.
        for _ in 0..n / 100 + 1 {
            assert!(poll_once(std::pin::pin!(group.map(0..1, |_| never::<()>()))).is_pending());
        }
    });
    (group, tasks)
}

#[test]
fn children_are_spawned_and_end_in_linear_time() {
    let run = |group: Group<'static>, n: usize| {
        move || {
            current()
                .block_on(group.run(async {
                    (0..n).for_each(|_| drop(group.spawn(async { Ok(()) })));
                    Ok(())
                }))
                .unwrap();
        }
    };
    is_linear("spawn and end", FEW, |n| run(Group::new(), n));
    is_linear("spawn and end, one at a time", FEW, |n| run(limited(1), n));
    is_linear("spawn and await in turn", FEW, |n| {
        move || {
            let group = Group::new();
            current()
                .block_on(group.run(async {
                    for task in (0..n)
                        .map(|n| group.spawn(async move { Ok(n) }))
                        .collect::<Vec<_>>()
                    {
                        task.await?;
                    }
                    Ok(())
                }))
                .unwrap();
        }
    });
    is_linear("each awaits the next", FEW, |n| {
        move || {
            let group = Group::new();
            current()
                .block_on(group.run(async {
                    let mut last = group.spawn(async {
                        tokio::task::yield_now().await;
                        Ok(0)
                    });
                    for _ in 0..n {
                        last = group.spawn(async move { Ok(last.await? + 1) });
                    }
                    last.await
                }))
                .unwrap();
        }
    });
    is_linear("fail and are suppressed", FEW, |n| {
        move || {
            let group: Group<'_> = TaskGroup::builder().grace(Duration::from_secs(5)).build();
            let _failed = current().block_on(group.run(async {
                for _ in 0..n {
                    let token = group.token();
                    group.spawn(async move {
                        token.cancelled().await;
                        Err::<(), _>(Failed::Number(1))
                    });
                }
                tokio::task::yield_now().await;
                group.cancel();
                Ok(())
            }));
            assert!(group.suppressed().len() <= 64);
        }
    });
}

#[test]
fn children_are_dropped_and_cancelled_in_linear_time() {
    is_linear("drop the group", FEW, |n| {
        let (group, tasks) = waiting(Group::new(), n);
        drop(tasks);
        move || drop(group)
    });
    is_linear("cancel the group", FEW, |n| {
        let (group, _tasks) = waiting(Group::new(), n);
        move || group.cancel()
    });
    is_linear("cancel the group, all but one queued", FEW, |n| {
        let (group, _tasks) = waiting(limited(1), n);
        move || group.cancel()
    });
    for (what, limit) in [("running", usize::MAX), ("queued", 1)] {
        is_linear(&format!("cancel each, {what}"), FEW, |n| {
            let (group, tasks) = waiting(limited(limit), n);
            move || {
                tasks.iter().for_each(Task::cancel);
                assert!(group.is_empty());
            }
        });
        is_linear(&format!("cancel each from the last, {what}"), FEW, |n| {
            let (group, tasks) = waiting(limited(limit), n);
            move || {
                tasks.iter().rev().for_each(Task::cancel);
                assert!(group.is_empty());
            }
        });
        is_linear(&format!("drop each handle, {what}"), FEW, |n| {
            let (_group, tasks) = waiting(limited(limit), n);
            move || drop(tasks)
        });
    }
    is_linear("spawn and cancel behind one that stays", FEW, |n| {
        let (group, _tasks) = waiting(limited(1), 1);
        move || (0..n).for_each(|_| group.spawn(never::<()>()).cancel())
    });
    is_linear("show the group", FEW, |n| {
        let (group, _tasks) = waiting(Group::new(), n);
        move || {
            let mut text = String::new();
            write!(text, "{group:?}").unwrap();
        }
    });
}

#[test]
fn parallel_children_end_in_linear_time() {
    let group_of = |runtime: &Runtime, n: usize| {
        let _entered = runtime.enter();
        let group: Group<'static> = TaskGroup::new();
        let tasks: Vec<_> = (0..n)
            .map(|_| group.spawn_parallel(pending::<Result<(), Failed>>()))
            .collect();
        (group, tasks)
    };
    let workers = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    for (what, runtime) in [
        ("on two workers", workers),
        ("on a current-thread runtime", current()),
    ] {
        let clear = || {
            while runtime.metrics().num_alive_tasks() > 0 {
                runtime.block_on(tokio::task::yield_now());
            }
        };
        is_linear_clearing(clear, &format!("drop, {what}"), FEW, |n| {
            let (group, _tasks) = group_of(&runtime, n);
            move || drop(group)
        });
        is_linear_clearing(clear, &format!("cancel each, {what}"), FEW, |n| {
            let (_group, tasks) = group_of(&runtime, n);
            move || tasks.iter().for_each(Task::cancel)
        });
        is_linear_clearing(clear, &format!("cancel and wait, {what}"), FEW, |n| {
            let (group, _tasks) = group_of(&runtime, n);
            let runtime = &runtime;
            move || {
                runtime
                    .block_on(group.run(async {
                        group.cancel();
                        Ok(())
                    }))
                    .unwrap();
            }
        });
        is_linear_clearing(clear, &format!("spawn and end, {what}"), FEW, |n| {
            let runtime = &runtime;
            move || {
                let group: Group<'static> = TaskGroup::new();
                runtime
                    .block_on(group.run(async {
                        (0..n).for_each(|_| drop(group.spawn_parallel(async { Ok(()) })));
                        Ok(())
                    }))
                    .unwrap();
            }
        });
    }
}

#[test]
fn finalizers_items_and_leftovers_take_linear_time() {
    is_linear("finalizers", FEW, |n| {
        let group = Group::new();
        (0..n).for_each(|_| group.defer(async {}));
        move || current().block_on(group.join()).unwrap()
    });
    is_linear("finalizers of a dropped group", FEW, |n| {
        let group = Group::new();
        (0..n).for_each(|_| group.defer(async {}));
        move || {
            let runtime = current();
            let entered = runtime.enter();
            drop(group);
            drop(entered);
            runtime.block_on(tokio::task::yield_now());
        }
    });
    is_linear("dropped groups with a finalizer each", FEW, |n| {
        let groups: Vec<Group<'static>> = (0..n).map(|_| Group::new()).collect();
        groups.iter().for_each(|group| group.defer(async {}));
        move || {
            let runtime = current();
            let entered = runtime.enter();
            drop(groups);
            drop(entered);
            runtime.block_on(tokio::task::yield_now());
        }
    });
    for limit in [4, usize::MAX] {
        is_linear(&format!("items of a map at a limit of {limit}"), FEW, |n| {
            move || {
                let group = limited(limit);
                let mapped = current().block_on(group.map(0..n, async |n| {
                    tokio::task::yield_now().await;
                    Ok(n)
                }));
                assert_eq!(mapped.unwrap().len(), n);
            }
        });
    }
    is_linear("items of a stream inside a run", FEW, |n| {
        move || {
            let group = limited(4);
            let count = current().block_on(group.run(async {
                Ok(group
                    .map_unordered(0..n, async |n| Ok::<_, Failed>(n))
                    .count()
                    .await)
            }));
            assert_eq!(count, Ok(n));
        }
    });
}

type Nest = Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>>;

/// Counts the polls of all levels.
fn nest(depth: usize, polls: &Arc<AtomicUsize>) -> Nest {
    let inner = polls.clone();
    let level = async move {
        if depth == 0 {
            tokio::task::yield_now().await;
            return Ok(());
        }
        let group = Group::new();
        group
            .run(async { group.spawn(nest(depth - 1, &inner)).await })
            .await
    };
    let polls = polls.clone();
    Box::pin(async move { counted(&polls, level).await })
}

/// As deep as a stack of 64 MiB lets it be polled without optimisation.
#[test]
fn groups_in_groups_take_linear_time() {
    watched(|| {
        let polls_of = |depth| {
            let polls = Arc::new(AtomicUsize::new(0));
            current().block_on(nest(depth, &polls)).unwrap();
            polls.load(Ordering::SeqCst)
        };
        let (few, many) = (polls_of(50), polls_of(50 * TIMES));
        assert!(
            many < few * 24,
            "{few} polls of 50 levels, {many} of {TIMES} times as many"
        );
        is_linear("a nest that is dropped", 50, |depth| {
            let mut nest = nest(depth, &Arc::default());
            current().block_on(async { assert!(poll_once(nest.as_mut()).is_pending()) });
            move || drop(nest)
        });
    });
}
