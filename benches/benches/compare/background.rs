//! A background task from its start until its handle has resolved, tracked and listed, against what only counts.

use std::{future::Future, rc::Rc};

use benches::{Contest, Side};
use nexios::Background;
use tokio::runtime::{Builder, Runtime};
use tokio_util::task::TaskTracker;

type Named = (String, Box<dyn FnOnce() -> Contest>);

pub(crate) fn contests() -> Vec<Named> {
    let mut contests: Vec<Named> = Vec::new();
    for runtime in ["current_thread", "multi_thread"] {
        for yields in [false, true] {
            for size in [1, 64] {
                let kind = if yields { "yield_once" } else { "ready" };
                let name = format!("background/spawn_await/{kind}/{runtime}/{size}");
                let title = name.clone();
                contests.push((name, Box::new(move || contest(title, runtime, size, yields))));
            }
        }
    }
    contests
}

async fn work(value: u64, yields: bool) -> u64 {
    if yields {
        tokio::task::yield_now().await;
    }
    value
}

/// Starts `size` tasks, then awaits them, in a task of the runtime as in a server.
fn side<Task, Value>(
    who: &'static str,
    runtime: &Rc<Runtime>,
    size: u64,
    spawn: impl Fn(u64) -> Task + Clone + Send + 'static,
    value: impl Fn(Task::Output) -> Option<Value> + Copy + Send + Sync + 'static,
) -> Side
where
    Task: Future + Send + 'static,
    Task::Output: Send,
{
    let runtime = runtime.clone();
    Side::new(who, move |repeats| {
        let spawn = spawn.clone();
        let task = runtime.spawn(async move {
            let mut tasks = Vec::with_capacity(size as usize);
            for _ in 0..repeats {
                tasks.extend((0..size).map(&spawn));
                for task in tasks.drain(..) {
                    assert!(value(task.await).is_some(), "a bench has no failing task");
                }
            }
        });
        runtime.block_on(task).expect("a bench has no panic of its own");
    })
}

fn contest(name: String, runtime: &str, size: u64, yields: bool) -> Contest {
    let alone = runtime == "current_thread";
    let built = match alone {
        true => Builder::new_current_thread().enable_all().build(),
        false => Builder::new_multi_thread().worker_threads(2).enable_all().build(),
    };
    let runtime = Rc::new(built.expect("a runtime can be built on a machine that runs benches"));
    let (plain, closure) = (Background::new(), Background::new());
    let tracker = TaskTracker::new();
    let contest = Contest::new(name, size)
        .side(
            side(
                "nexios",
                &runtime,
                size,
                move |value| plain.spawn_future("bench", work(value, yields)),
                Result::ok,
            )
            .goal("TaskTracker", 1.25),
        )
        .side(
            side(
                "nexios, with a context",
                &runtime,
                size,
                move |value| closure.spawn("bench", move |_cx| work(value, yields)).expect("there is room"),
                Result::ok,
            )
            .goal("TaskTracker", 1.25),
        )
        .side(side(
            "TaskTracker",
            &runtime,
            size,
            move |value| tracker.spawn(work(value, yields)),
            Result::ok,
        ))
        .side(side(
            "tokio::spawn",
            &runtime,
            size,
            move |value| tokio::spawn(work(value, yields)),
            Result::ok,
        ));
    if alone { contest } else { contest.without_allocations() }
}
