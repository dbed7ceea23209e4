//! What tasks cost grows with their number and no faster.

use std::{hint::black_box, time::Duration};

use nexios::{Background, BackgroundTask, Drain};
use tokio::runtime::{Builder, Runtime};

use crate::growth;

const PATIENT: Drain = Drain {
    wait: Duration::from_secs(60),
    cancel: Duration::from_secs(60),
};
const CANCELS: Drain = Drain {
    wait: Duration::ZERO,
    cancel: Duration::from_secs(60),
};
const ABORTS: Drain = Drain {
    wait: Duration::ZERO,
    cancel: Duration::ZERO,
};

/// A registry with tasks, on its runtime.
struct Case {
    background: Background,
    tasks: Vec<BackgroundTask<()>>,
    runtime: Runtime,
}

impl Case {
    /// `n` tasks that never end, of which `limit` run; all of them have been polled.
    fn new(n: usize, limit: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let background = Background::builder()
            .live(n + 1)
            .limit(limit)
            .history(n)
            .build();
        let tasks = runtime.block_on(async {
            let tasks = (0..n)
                .map(|_| background.spawn_future("task", std::future::pending()))
                .collect();
            tokio::task::yield_now().await;
            tasks
        });
        Self {
            background,
            tasks,
            runtime,
        }
    }

    fn running(n: usize) -> Self {
        Self::new(n, n)
    }

    fn queued(n: usize) -> Self {
        Self::new(n, 1)
    }

    /// As many that have ended.
    fn ended(n: usize) -> Self {
        let case = Self::running(n);
        case.tasks.iter().for_each(BackgroundTask::cancel);
        case.runtime.block_on(tokio::task::yield_now());
        case
    }

    /// Awaits all handles.
    fn end(self) {
        let (runtime, tasks) = (self.runtime, self.tasks);
        runtime.block_on(async {
            for task in tasks {
                black_box(task.await.is_ok());
            }
        });
    }

    fn drain(&self, drain: Drain) {
        black_box(self.runtime.block_on(self.background.drain(drain)));
    }
}

#[track_caller]
fn assert_linear<P>(what: &str, prepare: impl Fn(usize) -> P, work: impl Fn(P)) {
    growth::assert_linear(what, 1_000, prepare, work);
}

#[test]
fn starting_and_ending_tasks_is_linear() {
    let none = |n: usize| (n, Case::new(0, n.max(1)));
    let spawn = |history: usize, n: usize, case: Case| {
        let background = Background::builder().live(n).history(history).build();
        case.runtime.block_on(async {
            let tasks: Vec<_> = (0..n)
                .map(|_| background.spawn_future("task", async {}))
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        black_box(background.stats());
    };
    assert_linear(
        "starting and ending, all of them kept",
        none,
        |(n, case)| spawn(n, n, case),
    );
    assert_linear(
        "starting and ending, few of them kept",
        none,
        |(n, case)| spawn(10, n, case),
    );
    assert_linear("starting and ending, none kept", none, |(n, case)| {
        spawn(0, n, case);
    });
    assert_linear("a key each", none, |(n, case)| {
        let background = Background::builder().live(n).build();
        case.runtime.block_on(async {
            let spawn = |key: usize| {
                background
                    .task("task")
                    .unique(key.to_string())
                    .spawn(|_cx| async {})
            };
            let tasks: Vec<_> = (0..n).map(|key| spawn(key).unwrap()).collect();
            assert!((0..n).all(|key| spawn(key).is_err()));
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
}

#[test]
fn cancelling_tasks_is_linear() {
    let cancel = |case: Case| {
        case.tasks.iter().for_each(BackgroundTask::cancel);
        case.end();
    };
    assert_linear("cancelling what runs", Case::running, cancel);
    assert_linear("cancelling what waits", Case::queued, cancel);
    assert_linear(
        "cancelling the last that waits first",
        Case::queued,
        |case| {
            case.tasks.iter().rev().for_each(BackgroundTask::cancel);
            case.end();
        },
    );
    assert_linear("cancelling by number", Case::running, |case| {
        assert!(
            case.tasks
                .iter()
                .all(|task| case.background.cancel(task.id()))
        );
        case.end();
    });
}

#[test]
fn looking_at_tasks_is_linear() {
    assert_linear("one list of live tasks", Case::running, |case| {
        drop(black_box(case.background.list()));
    });
    assert_linear("one list of finished tasks", Case::ended, |case| {
        drop(black_box(case.background.list()));
    });
    let get = |case: Case| {
        assert!(
            case.tasks
                .iter()
                .all(|task| case.background.get(task.id()).is_some())
        );
    };
    assert_linear("each live task", Case::running, get);
    assert_linear("each finished task", Case::ended, get);
    assert_linear("the counts, once for each task", Case::running, |case| {
        for _ in &case.tasks {
            black_box(case.background.stats());
        }
    });
}

#[test]
fn dropping_what_tasks_hang_on_is_linear() {
    assert_linear("the handles", Case::running, |mut case| {
        drop(std::mem::take(&mut case.tasks));
        std::mem::forget(case);
    });
    assert_linear(
        "the registry and the runtime, with what runs",
        Case::running,
        drop,
    );
    assert_linear(
        "the registry and the runtime, with what waits",
        Case::queued,
        drop,
    );
    assert_linear("the runtime first", Case::queued, |case| drop(case.runtime));
    assert_linear("finished tasks", Case::ended, drop);
}

#[test]
fn draining_tasks_is_linear() {
    for (drain, how) in [(CANCELS, "cancelled"), (ABORTS, "cut off")] {
        assert_linear(&format!("what runs is {how}"), Case::running, |case| {
            case.drain(drain);
        });
        assert_linear(&format!("what waits is {how}"), Case::queued, |case| {
            case.drain(drain);
        });
    }
    assert_linear("what ends by itself", Case::running, |case| {
        let drain = case.runtime.spawn({
            let background = case.background.clone();
            async move { background.drain(PATIENT).await.cancelled.len() }
        });
        case.runtime.block_on(tokio::task::yield_now());
        case.tasks.iter().for_each(BackgroundTask::cancel);
        assert_eq!(case.runtime.block_on(drain).unwrap(), case.tasks.len());
    });
    assert_linear(
        "all of them drain",
        |n| (n, Case::new(0, n)),
        |(n, case)| {
            let background = Background::builder().live(n).build();
            case.runtime.block_on(async {
                let drains = |_| {
                    let own = background.clone();
                    background.spawn_future("drains", async move {
                        own.drain(PATIENT).await.completed.len()
                    })
                };
                let tasks: Vec<_> = (0..n).map(drains).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
        },
    );
}
