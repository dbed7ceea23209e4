use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use crate::log::log;

/// Says once for each `item` that it does nothing without its layer.
pub(crate) fn warn_once(item: &'static str) {
    static WARNED: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let first = WARNED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(item);
    if first {
        log(|| {
            tracing::warn!(
                item,
                "there is no RequestLayer around the route, so this has no effect"
            );
        });
    }
}
