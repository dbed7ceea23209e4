//! The way from a key to its cell, and to a flight of it.

use std::{
    borrow::Borrow,
    hash::{BuildHasher, Hash},
    sync::Arc,
};

use super::keys::{Aloft, Keys};
use crate::lazy::{
    call::Site,
    cell::{Cell, Entrance, Visit},
    flight::discard,
};

/// A key, on the way to its cell.
pub(super) struct Spot<'a, K, Q: ?Sized, T, E> {
    pub(super) keys: &'a Arc<Keys<K, T, E>>,
    pub(super) key: &'a Q,
}

impl<K, Q, T, E> Site<T, E> for Spot<'_, K, Q, T, E>
where
    K: Borrow<Q> + Hash + Eq + Clone + Send + Sync + 'static,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn enter(&self, visit: Visit<'_>) -> (Arc<Cell<T, E>>, Entrance<T, E>) {
        let keys = self.keys;
        let hash = keys.hasher.hash_one(self.key);
        let mut owned = None;
        let mut made = None;
        let mut outdated = Vec::new();
        let (cell, entrance, leftover, replaced) = loop {
            let mut shard = keys.shard(hash);
            let generation = keys.generation();
            let (cell, aloft) = match keys.find(&shard, self.key, generation, &mut outdated) {
                Some((cell, aloft)) if aloft || owned.is_some() => (cell, aloft),
                None if made.is_some() && owned.is_some() => match made.take() {
                    Some(cell) => (cell, false),
                    None => continue,
                },
                found => {
                    // The key is cloned without a lock; then everything is looked at again.
                    drop(shard);
                    let key = owned.get_or_insert_with(|| self.key.to_owned());
                    if found.is_none() {
                        made = Some(keys.make(key));
                    }
                    continue;
                }
            };
            let (entrance, leftover) = cell.enter(visit);
            let started = matches!(entrance, Entrance::Started(..) | Entrance::Stale(_, Some(_)));
            let mut replaced = None;
            if started
                && !aloft
                && let Some(key) = owned.take()
            {
                // Taken out rather than replaced, so that neither key is dropped here.
                replaced = shard.remove_entry(self.key);
                shard.insert(key, Aloft { cell: Arc::clone(&cell), generation });
            }
            break (cell, entrance, leftover, replaced);
        };
        if let Some((key, aloft)) = replaced {
            keys.throw_away(key, aloft);
        }
        leftover.discard();
        discard((owned, made, outdated));
        (cell, entrance)
    }
}
