//! What outlives its owner for a moment: aborted parallel children that still unwind, finalizers of dropped
//! groups. It is counted, named and awaited by the drain of the global
//! [`Background`](crate::Background), never forgotten.

use std::{
    borrow::Cow,
    fmt,
    future::Future,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, task::AbortHandle, time::Instant};

type Name = Cow<'static, str>;

/// Live leftovers in the order in which they came; there are few, so a list is enough.
static LIVE: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// Told whenever a leftover ends that says so itself.
static ENDED: Notify = Notify::const_new();

/// An aborted task cannot tell us that it has ended, so a drain looks at it this often.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

struct Entry {
    key: u64,
    name: Name,
    /// None for one that ends with its [`Leftover`].
    aborted: Option<AbortHandle>,
}

/// One leftover; it counts as live until this is dropped.
pub(crate) struct Leftover {
    key: u64,
}

impl fmt::Debug for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leftover").field("key", &self.key).finish()
    }
}

/// The list without the aborted tasks that have ended meanwhile.
fn live() -> MutexGuard<'static, Vec<Entry>> {
    // No user code runs under this lock; a poisoned list is still whole.
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    live.retain(|entry| entry.aborted.as_ref().is_none_or(|task| !task.is_finished()));
    live
}

fn insert(name: Name, aborted: Option<AbortHandle>) -> u64 {
    let mut live = live();
    let key = live.last().map_or(0, |last| last.key + 1);
    live.push(Entry { key, name, aborted });
    key
}

/// Counts a leftover under `name` until the returned value is dropped.
pub(crate) fn enter(name: impl Into<Name>) -> Leftover {
    Leftover { key: insert(name.into(), None) }
}

/// Counts an aborted task under `name` until it has ended.
pub(crate) fn leave_aborted(name: impl Into<Name>, task: AbortHandle) {
    insert(name.into(), Some(task));
}

/// Runs `future` as a counted task of its own on the current runtime; without one it is dropped.
pub(crate) fn adopt(name: impl Into<Name>, future: impl Future<Output = ()> + Send + 'static) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let leftover = enter(name);
    runtime.spawn(async move {
        let _leftover = leftover;
        future.await;
    });
}

/// The names of all live leftovers.
pub(crate) fn names() -> Vec<Name> {
    live().iter().map(|entry| entry.name.clone()).collect()
}

/// Waits until there is no leftover or `limit` has passed; true when there is none.
pub(crate) async fn wait_until_empty(limit: Instant) -> bool {
    loop {
        let mut ended = pin!(ENDED.notified());
        // Registered before the look, so that an end in between is not missed.
        ended.as_mut().enable();
        let (empty, aborted) = {
            let live = live();
            (live.is_empty(), live.iter().any(|entry| entry.aborted.is_some()))
        };
        if empty {
            return true;
        }
        let look_again = if aborted { (Instant::now() + LOOK_AGAIN).min(limit) } else { limit };
        if tokio::time::timeout_at(look_again, ended).await.is_err() && Instant::now() >= limit {
            return live().is_empty();
        }
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        live().retain(|entry| entry.key != self.key);
        ENDED.notify_waiters();
    }
}
