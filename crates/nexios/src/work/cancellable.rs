//! Work that others may cancel by its number, though no registry of this crate knows it.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use super::identity::WorkId;
use crate::cancel::{CancelReason, CancelToken};

/// The tokens of those that live.
static LIVING: LazyLock<Mutex<HashMap<WorkId, CancelToken>>> = LazyLock::new(Mutex::default);

fn living() -> MutexGuard<'static, HashMap<WorkId, CancelToken>> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Work can be cancelled until this is dropped.
pub(super) struct Cancellable(WorkId);

impl Cancellable {
    pub(super) fn new(id: WorkId, token: CancelToken) -> Self {
        living().insert(id, token);
        Self(id)
    }
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        // It goes after the lock: dropping a token may drop what waits for it.
        let token = living().remove(&self.0);
        drop(token);
    }
}

/// Fires the token of this work; false if that has fired, if the work has ended, or never had one.
pub(crate) fn cancel(id: WorkId) -> bool {
    // Whoever waits for it is woken without the lock.
    let token = living().get(&id).cloned();
    let token = token.filter(|token| token.reason().is_none());
    token.is_some_and(|token| {
        token.cancel(CancelReason::Requested);
        true
    })
}
