//! Races, by many rounds on several threads.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use nexios::{Background, BackgroundFailure, Drain, TaskState};
use tokio::runtime::Runtime;

use super::assert_idle;

const ROUNDS: usize = 1_000;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// BG-021: every task is either refused, or ended and in the report; none is lost between the two.
#[test]
fn spawn_against_drain() {
    let runtime = runtime();
    for round in 0..ROUNDS {
        let background = Background::builder().limit(2).build();
        let barrier = Barrier::new(2);
        let ran = Arc::new(AtomicUsize::new(0));
        let (admitted, report) = thread::scope(|scope| {
            let spawner = scope.spawn(|| {
                let _runtime = runtime.enter();
                barrier.wait();
                let mut admitted = Vec::new();
                for _ in 0..8 {
                    let ran = ran.clone();
                    match background.spawn("task", move |_cx| async move {
                        tokio::task::yield_now().await;
                        ran.fetch_add(1, Ordering::SeqCst)
                    }) {
                        Ok(task) => admitted.push(task),
                        Err(_) => break,
                    }
                }
                admitted
            });
            barrier.wait();
            if round % 2 == 0 {
                thread::yield_now();
            }
            let drain = Drain {
                wait: Duration::from_secs(10),
                cancel: Duration::from_secs(10),
            };
            let report = runtime.block_on(background.drain(drain));
            (spawner.join().unwrap(), report)
        });
        assert_idle(&background);
        let stats = background.stats();
        assert_eq!(stats.completed as usize, admitted.len());
        assert!(report.completed.len() <= admitted.len());
        assert!(
            report.cancelled.is_empty() && report.abandoned.is_empty(),
            "{report:?}"
        );
        for task in admitted {
            assert!(runtime.block_on(task).is_ok());
        }
        assert_eq!(stats.completed as usize, ran.load(Ordering::SeqCst));
    }
}

/// The same with a drain that gives nobody time: whatever happens, every task ends once and is counted once.
#[test]
fn spawn_against_an_impatient_drain() {
    let runtime = runtime();
    for _ in 0..ROUNDS {
        let background = Background::builder().limit(3).build();
        let barrier = Barrier::new(2);
        let admitted = thread::scope(|scope| {
            let spawner = scope.spawn(|| {
                let _runtime = runtime.enter();
                barrier.wait();
                let mut admitted = Vec::new();
                for number in 0..8 {
                    if number % 2 == 0 {
                        admitted.push(background.spawn_future("plain", tokio::task::yield_now()));
                    } else if let Ok(task) =
                        background.spawn("asked", |_cx| tokio::task::yield_now())
                    {
                        admitted.push(task);
                    }
                }
                admitted
            });
            barrier.wait();
            runtime.block_on(background.drain(Drain {
                wait: Duration::ZERO,
                cancel: Duration::ZERO,
            }));
            spawner.join().unwrap()
        });
        let ended: Vec<_> = admitted
            .into_iter()
            .map(|task| runtime.block_on(task))
            .collect();
        assert_idle(&background);
        let count = |wanted: fn(&Result<(), BackgroundFailure>) -> bool| {
            ended.iter().filter(|end| wanted(end)).count()
        };
        let stats = background.stats();
        assert_eq!(stats.completed as usize, count(|end| end.is_ok()));
        assert_eq!(
            stats.cancelled as usize,
            count(|end| matches!(end, Err(BackgroundFailure::Cancelled)))
        );
        assert_eq!(
            stats.abandoned as usize,
            count(|end| matches!(end, Err(BackgroundFailure::Abandoned)))
        );
        assert!(background.list().iter().all(|info| info.state.is_final()));
    }
}

/// A cancellation that meets the end leaves exactly one of the two outcomes, in the handle and in the list.
#[test]
fn cancel_against_finish() {
    let runtime = runtime();
    let background = Background::builder().limit(4).build();
    let mut cancelled = 0;
    for round in 0..ROUNDS {
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let _guard = runtime.enter();
        let task = background.spawn_future("task", async move {
            let _ = wait.await;
            1
        });
        let id = task.id();
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                if round % 2 == 0 {
                    task.cancel();
                } else {
                    background.cancel(id);
                }
            });
            barrier.wait();
            let _ = go.send(());
        });
        let state = match runtime.block_on(task) {
            Ok(value) => {
                assert_eq!(value, 1);
                TaskState::Completed
            }
            Err(failure) => {
                assert!(
                    matches!(failure, BackgroundFailure::Cancelled),
                    "{failure:?}"
                );
                cancelled += 1;
                TaskState::Cancelled
            }
        };
        assert_eq!(background.get(id).unwrap().state, state);
        assert_idle(&background);
    }
    let stats = background.stats();
    assert_eq!(
        (stats.cancelled, stats.completed + stats.cancelled),
        (cancelled, ROUNDS as u64)
    );
}

/// BG-038: cancelled waiting tasks and freed slots meet; no slot is lost and nothing is left waiting.
#[test]
fn cancel_against_promote() {
    let runtime = runtime();
    for _ in 0..ROUNDS {
        let background = Background::builder().limit(1).build();
        let _guard = runtime.enter();
        let tasks: Vec<_> = (0..6)
            .map(|_| background.spawn_future("task", tokio::task::yield_now()))
            .collect();
        thread::scope(|scope| {
            scope.spawn(|| tasks.iter().step_by(2).for_each(|task| task.cancel()));
        });
        for (number, task) in tasks.into_iter().enumerate() {
            let end = runtime.block_on(task);
            assert!(end.is_ok() || number % 2 == 0, "{end:?}");
        }
        assert_idle(&background);
    }
}

/// A token asked for and a cancellation at the same time: the token fires, whichever came first.
#[test]
fn token_against_cancel() {
    let runtime = runtime();
    let background = Background::new();
    for _ in 0..ROUNDS {
        let barrier = Arc::new(Barrier::new(2));
        let met = barrier.clone();
        let _guard = runtime.enter();
        let (ready, started) = std::sync::mpsc::channel();
        let task = background
            .spawn("asks", move |cx| async move {
                ready.send(()).unwrap();
                met.wait();
                cx.cancelled().await
            })
            .unwrap();
        started.recv().unwrap();
        barrier.wait();
        task.cancel();
        assert!(runtime.block_on(task).is_ok());
    }
    assert_idle(&background);
}
