//! A background task from its start until its handle has resolved, and the same facts kept by hand.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use nexios::Background;
use tokio_util::task::TaskTracker;

use crate::contest::Contest;

pub(crate) fn contests() -> Vec<Contest> {
    vec![spawn_to_finish()]
}

/// What a list of tasks shows of one.
#[derive(Debug)]
struct Facts {
    name: &'static str,
    finished: bool,
    started: SystemTime,
    since: Instant,
    took: Option<std::time::Duration>,
}

#[derive(Clone, Default)]
struct ByHand {
    tracker: TaskTracker,
    tasks: Arc<Mutex<HashMap<u64, Facts>>>,
    next: Arc<std::sync::atomic::AtomicU64>,
}

/// How many finished ones stay visible, as in the registry.
const KEPT: u64 = 1_000;

impl ByHand {
    fn spawn(&self, name: &'static str, value: u64) -> tokio::task::JoinHandle<u64> {
        // Relaxed: only uniqueness counts.
        let id = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let facts = Facts {
            name,
            finished: false,
            started: SystemTime::now(),
            since: Instant::now(),
            took: None,
        };
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, facts);
        let tasks = self.tasks.clone();
        self.tracker.spawn(async move {
            tokio::task::yield_now().await;
            let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(facts) = tasks.get_mut(&id) {
                facts.finished = true;
                facts.took = Some(facts.since.elapsed());
                std::hint::black_box((facts.name, facts.started));
            }
            tasks.remove(&id.wrapping_sub(KEPT));
            value
        })
    }
}

fn spawn_to_finish() -> Contest {
    let (background, by_hand, tracker) = (Background::new(), ByHand::default(), TaskTracker::new());
    Contest::new("background/spawn_to_finish", 1)
        .side("nexios", move || {
            let task = background.spawn("bench", |_cx| async {
                tokio::task::yield_now().await;
                1_u64
            });
            async move { task.expect("there is room").await.unwrap_or_default() }
        })
        .rival("TaskTracker and Mutex<HashMap>", 1.0, move || {
            let task = by_hand.spawn("bench", 1);
            async move { task.await.unwrap_or_default() }
        })
        .rival("TaskTracker", 2.0, move || {
            let task = tracker.spawn(async {
                tokio::task::yield_now().await;
                1_u64
            });
            async move { task.await.unwrap_or_default() }
        })
}
