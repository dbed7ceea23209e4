//! Holds a paused tokio clock while pool jobs are outstanding; only with the `test-util` feature.
//!
//! A paused clock jumps to the next timer as soon as the runtime has nothing to do, and it does not know of
//! other people's threads. It does know of its own: it stands still while a `spawn_blocking` closure is
//! alive. So one such closure lives as long as there are jobs.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, Weak,
        mpsc::{Sender, channel},
    },
};

use tokio::runtime::{Handle, Id};

use crate::sync::Mutex;

/// The holds of the runtimes that have outstanding jobs.
static HELD: Mutex<Vec<(Id, Weak<Release>)>> = Mutex::new(Vec::new());

/// Ends the blocking closure when dropped: its receiver then fails.
struct Release {
    _sender: Sender<()>,
}

/// Holds the clock of one runtime until this and all other holds of that runtime are dropped.
pub(super) struct Hold {
    _release: Arc<Release>,
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hold")
    }
}

impl Hold {
    pub(super) fn of(runtime: &Handle) -> Self {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|(_, release)| release.strong_count() > 0);
        let known = held.iter().find(|(id, _)| *id == runtime.id());
        if let Some(release) = known.and_then(|(_, release)| release.upgrade()) {
            return Self { _release: release };
        }
        let (sender, receiver) = channel::<()>();
        let release = Arc::new(Release { _sender: sender });
        held.push((runtime.id(), Arc::downgrade(&release)));
        drop(held);
        runtime.spawn_blocking(move || receiver.recv().is_ok());
        Self { _release: release }
    }
}
