//! What outlives its owner for a moment: aborted parallel children that still unwind, finalizers of dropped
//! groups. It is counted, named and awaited by the drain of the global
//! [`Background`](crate::Background), never forgotten.
//!
//! # Invariants
//!
//! 1. Coming and going costs the same however many there are; aborted tasks that have ended are sorted out when the list
//!    has doubled, or when somebody looks at it.
//! 2. No code of others runs under the lock.
//! 3. Adopted futures are cut off by the drain that has reported them, and by no other.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    future::Future,
    mem,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, task::AbortHandle, time::Instant};

use crate::punctual::punctual;

type Name = Cow<'static, str>;

/// Live leftovers.
static LIVE: Mutex<Live> = Mutex::new(Live {
    entries: BTreeMap::new(),
    next: 0,
    aborted: 0,
    look_at: LOOK_FROM,
});

/// Told whenever a leftover ends that says so itself.
static ENDED: Notify = Notify::const_new();

/// An aborted task cannot tell us that it has ended, so a drain looks at it this often.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// So many aborted tasks are kept before it is looked whether some have ended.
const LOOK_FROM: usize = 64;

struct Live {
    /// In the order in which they came.
    entries: BTreeMap<u64, LeftoverEntry>,
    /// The key of the next one.
    next: u64,
    /// How many aborted tasks are among them.
    aborted: usize,
    /// How many of those may be kept until the next look; twice what the last one left, so that looking stays cheap.
    look_at: usize,
}

struct LeftoverEntry {
    name: Name,
    kind: LeftoverKind,
}

enum LeftoverKind {
    /// Ends with its [`Leftover`].
    Counted,
    /// A future of its own, which ends with its [`Leftover`] too.
    Adopted(AbortHandle),
    /// As `Adopted`, and cut off by a drain.
    CutOff,
    /// Ends when it has unwound.
    Aborted(AbortHandle),
}

impl Live {
    fn insert(&mut self, name: Name, kind: LeftoverKind) -> u64 {
        let key = self.next;
        self.next += 1;
        self.entries.insert(key, LeftoverEntry { name, kind });
        key
    }

    /// Sorts out the aborted tasks that have ended meanwhile, to be dropped without the lock: an abort handle may be the
    /// last thing that keeps a task's memory.
    #[must_use]
    fn look(&mut self) -> BTreeMap<u64, LeftoverEntry> {
        if self.aborted == 0 {
            return BTreeMap::new();
        }
        let has_ended = |entry: &LeftoverEntry| matches!(&entry.kind, LeftoverKind::Aborted(task) if task.is_finished());
        let (ended, left): (BTreeMap<_, _>, _) = mem::take(&mut self.entries)
            .into_iter()
            .partition(|(_, entry)| has_ended(entry));
        self.entries = left;
        self.aborted -= ended.len();
        self.look_at = LOOK_FROM.max(2 * self.aborted);
        ended
    }
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

fn lock() -> MutexGuard<'static, Live> {
    // No code of others runs under this lock; a poisoned list is still whole.
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The list without the aborted tasks that have ended meanwhile.
fn live() -> MutexGuard<'static, Live> {
    let ended = lock().look();
    drop(ended);
    lock()
}

/// Counts a leftover under `name` until the returned value is dropped.
pub(crate) fn enter(name: impl Into<Name>) -> Leftover {
    Leftover {
        key: lock().insert(name.into(), LeftoverKind::Counted),
    }
}

/// Counts an aborted task under `name` until it has ended.
pub(crate) fn leave_aborted(name: impl Into<Name>, task: AbortHandle) {
    let mut live = lock();
    live.insert(name.into(), LeftoverKind::Aborted(task));
    live.aborted += 1;
    let ended = if live.aborted >= live.look_at {
        live.look()
    } else {
        BTreeMap::new()
    };
    drop(live);
    drop(ended);
}

/// Runs `future` as a counted task of its own on the current runtime; without one it is dropped.
pub(crate) fn adopt(name: impl Into<Name>, future: impl Future<Output = ()> + Send + 'static) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let leftover = enter(name);
    let key = leftover.key;
    let task = runtime.spawn(async move {
        future.await;
        // After the future, whatever ends that.
        drop(leftover);
    });
    // It may have ended already.
    if let Some(entry) = lock().entries.get_mut(&key) {
        entry.kind = LeftoverKind::Adopted(task.abort_handle());
    }
}

/// The names of all live leftovers.
pub(crate) fn names() -> Vec<Name> {
    live()
        .entries
        .values()
        .map(|entry| entry.name.clone())
        .collect()
}

/// Waits until there is no leftover or `limit` has passed; true when there is none.
pub(crate) async fn wait_until_empty(limit: Instant) -> bool {
    wait_until(limit, |live| live.entries.is_empty()).await
}

/// Cuts off the adopted futures: they have had the time that a drain gives. They are gone when
/// [`wait_for_cut_off`] says so.
pub(crate) fn cut_off() {
    let mut cut = Vec::new();
    for entry in lock().entries.values_mut() {
        if let LeftoverKind::Adopted(_) = entry.kind
            && let LeftoverKind::Adopted(task) =
                std::mem::replace(&mut entry.kind, LeftoverKind::CutOff)
        {
            cut.push(task);
        }
    }
    // Outside the lock: a runtime that shuts down drops the future on the spot.
    cut.iter().for_each(AbortHandle::abort);
}

/// Waits until all that was cut off has been dropped or `limit` has passed.
pub(crate) async fn wait_for_cut_off(limit: Instant) {
    wait_until(limit, |live| {
        !live
            .entries
            .values()
            .any(|entry| matches!(entry.kind, LeftoverKind::CutOff))
    })
    .await;
}

async fn wait_until(limit: Instant, is_reached: impl Fn(&Live) -> bool) -> bool {
    loop {
        let mut ended = pin!(ENDED.notified());
        // Registered before the look, so that an end in between is not missed.
        ended.as_mut().enable();
        let (reached, aborted) = {
            let live = live();
            (is_reached(&live), live.aborted > 0)
        };
        if reached {
            return true;
        }
        let look_again = if aborted {
            (Instant::now() + LOOK_AGAIN).min(limit)
        } else {
            limit
        };
        if punctual(tokio::time::timeout_at(look_again, ended))
            .await
            .is_err()
            && Instant::now() >= limit
        {
            return is_reached(&live());
        }
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let left = lock().entries.remove(&self.key);
        // An abort handle of tokio's may be the last thing that keeps a task's memory.
        drop(left);
        ENDED.notify_waiters();
    }
}
