//! What outlives its owner for a moment: aborted parallel children that still unwind, finalizers of dropped
//! groups. It is counted, named and awaited by the drain of the global
//! [`Background`](crate::Background), never forgotten.

use std::{
    borrow::Cow,
    fmt,
    future::Future,
    pin::pin,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

type Name = Cow<'static, str>;

static RESIDUE: LazyLock<Arc<Residue>> = LazyLock::new(Arc::default);

/// The process-wide list of leftovers.
#[derive(Default)]
struct Residue {
    /// Live leftovers, by the order in which they came; small, so a list is enough.
    live: Mutex<Vec<(u64, Name)>>,
    /// Told whenever a leftover ends.
    ended: Notify,
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

/// Counts a leftover under `name` until the returned value is dropped.
pub(crate) fn enter(name: impl Into<Name>) -> Leftover {
    let mut live = lock();
    let key = live.last().map_or(0, |(key, _)| key + 1);
    live.push((key, name.into()));
    Leftover { key }
}

/// Runs `future` as a counted task of its own on the current runtime.
///
/// Returns false, with the future dropped, when there is no runtime to run it on.
pub(crate) fn adopt(name: impl Into<Name>, future: impl Future<Output = ()> + Send + 'static) -> bool {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return false;
    };
    let leftover = enter(name);
    runtime.spawn(async move {
        let _leftover = leftover;
        future.await;
    });
    true
}

/// The names of all live leftovers.
pub(crate) fn names() -> Vec<Name> {
    lock().iter().map(|(_, name)| name.clone()).collect()
}

/// Waits until there is no leftover or `limit` has passed; true when there is none.
pub(crate) async fn wait_until_empty(limit: Instant) -> bool {
    let wait = async {
        loop {
            let mut ended = pin!(RESIDUE.ended.notified());
            // Registered before the look, so that an end in between is not missed.
            ended.as_mut().enable();
            if lock().is_empty() {
                return;
            }
            ended.await;
        }
    };
    tokio::time::timeout_at(limit, wait).await.is_ok()
}

fn lock() -> std::sync::MutexGuard<'static, Vec<(u64, Name)>> {
    // No user code runs under this lock; a poisoned list is still whole.
    RESIDUE.live.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Leftover {
    fn drop(&mut self) {
        lock().retain(|(key, _)| *key != self.key);
        RESIDUE.ended.notify_waiters();
    }
}
