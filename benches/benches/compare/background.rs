//! A background task from its start until its handle has resolved, tracked and listed, against the same by hand and
//! against what only counts.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    future::Future,
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

use benches::{Contest, Side};
use futures_util::FutureExt;
use nexios::Background;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
    time::Instant,
};
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
                contests.push((
                    name,
                    Box::new(move || contest(title, runtime, size, yields)),
                ));
            }
        }
    }
    contests
}

/// What is known about a task that somebody lists by hand.
struct Entry {
    _name: Cow<'static, str>,
    state: State,
    _began: Instant,
    ended: Option<Instant>,
}

#[derive(PartialEq)]
enum State {
    Running,
    Completed,
    Panicked,
}

#[derive(Default)]
struct Entries {
    last: u64,
    by_number: HashMap<u64, Entry>,
    /// The numbers of those that have ended; 1,000 are kept, as by default in nexios.
    finished: VecDeque<u64>,
}

/// What people write who want a list of their tasks: names, states and times, the last ones that ended among them.
#[derive(Clone, Default)]
struct ByHand {
    tracker: TaskTracker,
    entries: Arc<Mutex<Entries>>,
}

impl ByHand {
    fn spawn<T: Send + 'static>(
        &self,
        name: impl Into<Cow<'static, str>>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let entry = Entry {
            _name: name.into(),
            state: State::Running,
            _began: Instant::now(),
            ended: None,
        };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.last += 1;
        let number = entries.last;
        entries.by_number.insert(number, entry);
        drop(entries);
        let entries = self.entries.clone();
        self.tracker.spawn(async move {
            let value = AssertUnwindSafe(future).catch_unwind().await.ok();
            let ended = Instant::now();
            let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = entries.by_number.get_mut(&number) {
                entry.state = if value.is_some() {
                    State::Completed
                } else {
                    State::Panicked
                };
                entry.ended = Some(ended);
            }
            entries.finished.push_back(number);
            if entries.finished.len() > 1_000
                && let Some(oldest) = entries.finished.pop_front()
            {
                entries.by_number.remove(&oldest);
            }
            value
        })
    }

    /// Whether everything that is listed has ended.
    fn is_idle(&self) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries
            .by_number
            .values()
            .all(|entry| entry.state != State::Running && entry.ended.is_some())
    }
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
        runtime
            .block_on(task)
            .expect("a bench has no panic of its own");
    })
}

fn contest(name: String, runtime: &str, size: u64, yields: bool) -> Contest {
    let alone = runtime == "current_thread";
    let built = match alone {
        true => Builder::new_current_thread().enable_all().build(),
        false => Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build(),
    };
    let runtime = Rc::new(built.expect("a runtime can be built on a machine that runs benches"));
    let (plain, closure) = (Background::new(), Background::new());
    let (tracker, by_hand) = (TaskTracker::new(), ByHand::default());
    assert!(by_hand.is_idle(), "nothing has begun");
    let contest = Contest::new(name, size)
        .side(
            side(
                "nexios",
                &runtime,
                size,
                move |value| plain.spawn_future("bench", work(value, yields)),
                Result::ok,
            )
            .goal("by hand", 1.0)
            .goal("TaskTracker", 2.0),
        )
        .side(
            side(
                "nexios, with a context",
                &runtime,
                size,
                move |value| {
                    closure
                        .spawn("bench", move |_cx| work(value, yields))
                        .expect("there is room")
                },
                Result::ok,
            )
            .goal("by hand", 1.0)
            .goal("TaskTracker", 2.0),
        )
        .side(side(
            "by hand",
            &runtime,
            size,
            move |value| by_hand.spawn("bench", work(value, yields)),
            |joined| joined.ok().flatten(),
        ))
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
    if alone {
        contest
    } else {
        contest.without_allocations()
    }
}
