//! What the handle of a parallel child finds at each moment of its child's life.

use std::{
    future::pending,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use nexios::{CancelReason, Task, TaskGroup};
use tracing::Level;

use super::{
    logs::Logs,
    probes::{Failed, Gauge, Inside, OnDrop, bounded, on_workers, poll_once},
};

async fn until_finished<T>(task: &Task<'_, T, Failed>) {
    while !task.is_finished() {
        tokio::task::yield_now().await;
    }
}

/// Nobody drives while the task ends, and the group is told of the failure in the middle of its own end.
#[tokio::test]
async fn a_parallel_child_that_has_finished_stays_finished() {
    let group = TaskGroup::<Failed>::new();
    let task = Arc::new(group.spawn_parallel(async { Err::<(), _>(Failed::With("child")) }));
    until_finished(&task).await;
    let seen = Arc::new(Mutex::new(None));
    let look = {
        let (task, seen) = (task.clone(), seen.clone());
        OnDrop(move || *seen.lock().unwrap() = Some(task.is_finished()))
    };
    group.spawn(async move {
        let _look = look;
        pending::<Result<(), _>>().await
    });
    assert_eq!(bounded(group.join()).await, Err(Failed::With("child")));
    assert_eq!(*seen.lock().unwrap(), Some(true));
}

#[tokio::test]
async fn a_group_whose_only_child_was_awaited_has_finished_and_is_not_forgotten() {
    let (logs, _guard) = Logs::capture();
    let group = TaskGroup::<Failed>::new();
    let token = group.token();
    let task = group.spawn_parallel(async { Ok(7) });
    until_finished(&task).await;
    assert_eq!(bounded(task).await, Ok(7));
    assert!(group.is_empty());
    drop(group);
    assert_eq!(token.reason(), Some(CancelReason::Finished));
    assert!(
        logs.at(Level::WARN).is_empty(),
        "{:?}",
        logs.at(Level::WARN)
    );
}

/// Awaited, dropped, cancelled or asked while the task begins and ends on another thread.
#[test]
fn whatever_is_done_with_a_handle_at_any_moment_its_child_ends_once() {
    on_workers(|| async {
        let results = Gauge::default();
        for round in 0..1_000_usize {
            let futures = Gauge::default();
            let group = TaskGroup::builder().limit(2).build();
            let outcome = group
                .run(async {
                    let mut tasks = Vec::new();
                    for child in 0..4_usize {
                        let (results, spins) = (results.clone(), (round * 7 + child * 13) % 50);
                        let task: Task<'_, Inside, Failed> =
                            group.spawn_parallel(futures.hold(async move {
                                (0..spins).for_each(|_| std::hint::spin_loop());
                                if spins % 3 == 0 {
                                    tokio::task::yield_now().await;
                                }
                                Ok(results.enter())
                            }));
                        tasks.push(task);
                    }
                    for (child, mut task) in tasks.into_iter().enumerate() {
                        match (round + child) % 5 {
                            0 => drop(task.await?),
                            1 => drop(task),
                            2 => {
                                task.cancel();
                                assert!(task.is_finished());
                                drop(task.await);
                            }
                            3 => {
                                let other = tokio::spawn(async move {
                                    let mut before = false;
                                    for _ in 0..100 {
                                        let now = task.is_finished();
                                        assert!(now || !before, "finished, and then not");
                                        before = now;
                                    }
                                    drop(task);
                                });
                                other.await.unwrap();
                            }
                            _ => {
                                let _ = poll_once(Pin::new(&mut task)).map(drop);
                            }
                        }
                    }
                    Ok(())
                })
                .await;
            assert_eq!(outcome, Ok(()), "round {round}");
            assert_eq!((futures.live(), results.live()), (0, 0), "round {round}");
            assert!(group.is_empty());
        }
    });
}

/// With errors, each is heard of once: by its handle, or in the log.
#[test]
fn the_error_of_a_parallel_child_is_heard_of_once_at_any_moment() {
    on_workers(|| async {
        for round in 0..500_usize {
            let group = TaskGroup::<Failed>::new();
            let heard = AtomicUsize::new(0);
            let outcome = group
                .run(async {
                    let tasks: Vec<_> = (0..3)
                        .map(|child| {
                            group.spawn_parallel(async move { Err::<(), _>(Failed::Number(child)) })
                        })
                        .collect();
                    for _ in 0..round % 10 {
                        std::hint::spin_loop();
                    }
                    for task in tasks {
                        if round % 2 == 0 {
                            drop(task);
                        } else if let Err(Failed::Number(_)) = task.await {
                            heard.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    Ok(())
                })
                .await;
            assert!(
                matches!(outcome, Err(Failed::Number(_))),
                "round {round}: {outcome:?}"
            );
            assert_eq!(heard.load(Ordering::SeqCst), 0, "the error is the group's");
        }
    });
}
