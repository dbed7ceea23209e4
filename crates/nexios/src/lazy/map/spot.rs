//! The way from a key to its cell, and to a flight of it.

use std::{
    borrow::Borrow,
    collections::hash_map::Entry,
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
    fn enter(&self, visit: Visit) -> (Arc<Cell<T, E>>, Entrance<T, E>) {
        let keys = self.keys;
        let hash = keys.hasher.hash_one(self.key);
        let mut owned = None;
        let mut made = None;
        let mut outdated = Vec::new();
        let mut replaced = None;
        let (cell, entrance, leftover) = loop {
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
            let (entrance, leftover) = match owned.take() {
                Some(key) if !aloft => {
                    // Of an older generation. Taken out rather than replaced, so that neither key is dropped here.
                    replaced = shard.remove_entry(self.key);
                    // The place is found first: if the key panics now, no flight has started that others would
                    // join and nobody launch.
                    let Entry::Vacant(place) = shard.entry(key) else { continue };
                    let (entrance, leftover) = cell.enter(visit);
                    if matches!(entrance, Entrance::Started(..) | Entrance::Stale(_, Some(_))) {
                        place.insert(Aloft { cell: Arc::clone(&cell), generation });
                    } else {
                        owned = Some(place.into_key());
                    }
                    (entrance, leftover)
                }
                kept => {
                    owned = kept;
                    cell.enter(visit)
                }
            };
            break (cell, entrance, leftover);
        };
        if let Some((key, aloft)) = replaced {
            keys.throw_away(key, aloft);
        }
        leftover.discard();
        discard((owned, made, outdated));
        (cell, entrance)
    }
}
