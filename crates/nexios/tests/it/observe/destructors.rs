//! What observers leave behind is their own: a destructor that panics, or that has something to say of the same work.

use std::{
    panic::panic_any,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use nexios::{
    Background, BackgroundTask, ThreadPool,
    observe::{self, Observer, Observing, Work, WorkId},
};
use tokio::time::timeout;

/// In real time, as the pool's thread is one: nothing here takes that long, unless it waits for itself.
const LONGEST: Duration = Duration::from_secs(20);

/// Panics at the first piece of work it is told of, and again when it is dropped.
struct PanicsTwice(Arc<AtomicUsize>);

impl Observer for PanicsTwice {
    fn made(&self, _: &Work<'_>) {
        panic!("told");
    }
}

impl Drop for PanicsTwice {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("dropped");
    }
}

#[tokio::test]
async fn an_observer_that_panics_when_it_is_told_and_when_it_is_dropped_harms_nobody() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let observing = observe::observe(Arc::new(PanicsTwice(dropped.clone())));
    let pool = ThreadPool::builder().threads(1).build();
    let answers = async { (pool.run(|| 1).await, pool.run(|| 2).await) };
    let answers = timeout(LONGEST, answers).await.expect("nobody waits");
    assert_eq!(answers, (Ok(1), Ok(2)));
    drop(observing);
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

/// Leaves as it is told of the first piece of work, so that the call it is in is the last to hold it.
struct Leaves {
    own: Mutex<Option<Observing>>,
    dropped: Arc<AtomicBool>,
}

impl Observer for Leaves {
    fn made(&self, _: &Work<'_>) {
        let own = self.own.lock().unwrap().take();
        drop(own);
    }
}

impl Drop for Leaves {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::Relaxed);
        panic!("dropped");
    }
}

/// Whoever is told of something meanwhile waits for the guard.
fn leave_with(leaves: Arc<Leaves>) {
    let mut own = leaves.own.lock().unwrap();
    *own = Some(observe::observe(leaves.clone()));
}

#[tokio::test]
async fn an_observer_that_leaves_as_it_is_told_and_panics_as_it_is_dropped_harms_nobody() {
    let dropped = Arc::new(AtomicBool::new(false));
    let leaves = Arc::new(Leaves {
        own: Mutex::new(None),
        dropped: dropped.clone(),
    });
    leave_with(leaves);
    let pool = ThreadPool::builder().threads(1).build();
    let answer = timeout(LONGEST, pool.run(|| 1))
        .await
        .expect("nobody waits");
    assert_eq!(answer, Ok(1));
    assert!(dropped.load(Ordering::Relaxed), "it is gone");
}

/// Panics with the handle of the task whose progress it is told of: whoever drops that cancels the task.
struct PanicsWithAHandle(Mutex<Option<BackgroundTask<()>>>);

struct Cancels(BackgroundTask<()>);

impl Drop for Cancels {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Observer for PanicsWithAHandle {
    fn updated(&self, id: WorkId, _: &observe::Update<'_>) {
        // Others are told of as well.
        let task = self.0.lock().unwrap().take_if(|task| task.id().0 == id.0);
        if let Some(task) = task {
            panic_any(Cancels(task));
        }
    }
}

#[tokio::test]
async fn what_the_panic_of_an_observer_carries_may_speak_of_the_same_work() {
    let observer = Arc::new(PanicsWithAHandle(Mutex::new(None)));
    let _observing = observe::observe(observer.clone());
    let background = Background::new();
    let (begin, begun) = tokio::sync::oneshot::channel::<()>();
    let task = background
        .spawn("export", async move |task| {
            begun.await.unwrap();
            task.progress(1, 2);
            task.cancelled().await;
        })
        .unwrap();
    *observer.0.lock().unwrap() = Some(task);
    begin.send(()).unwrap();
    let quiet = async {
        while background.stats().running > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONGEST, quiet).await.expect("it waits for itself");
}
