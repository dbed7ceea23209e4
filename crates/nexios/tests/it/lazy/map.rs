//! Lazy values by key: what holds for a cell holds for each key, and the map stays inside its bound.

mod eviction;
mod generations;
mod keys;
mod limits;
mod stress;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use nexios::{AsyncLazyMap, AsyncLazyMapBuilder};
use tokio::sync::watch;

use super::{Broken, poll_once, settle};

type Map = AsyncLazyMap<String, String, Broken>;

/// Computations by key under the test's control: each is "key number", and waits until its key is let
/// through.
struct Shelf {
    started: Mutex<HashMap<String, usize>>,
    /// Computations that exist as futures.
    alive: Mutex<HashMap<String, usize>>,
    /// How many computations of a key may end.
    passes: watch::Sender<HashMap<String, usize>>,
    open: bool,
}

impl Shelf {
    fn new() -> Arc<Self> {
        Self::with(false)
    }

    /// A shelf whose computations need not be let through.
    fn open() -> Arc<Self> {
        Self::with(true)
    }

    fn with(open: bool) -> Arc<Self> {
        let passes = watch::Sender::default();
        Arc::new(Self {
            started: Mutex::default(),
            alive: Mutex::default(),
            passes,
            open,
        })
    }

    fn builder(self: &Arc<Self>, capacity: usize) -> AsyncLazyMapBuilder<String, String, Broken> {
        let shelf = Arc::clone(self);
        AsyncLazyMap::builder(capacity, move |key: String| {
            let number = {
                let mut started = shelf.started.lock().unwrap();
                let number = started.entry(key.clone()).or_default();
                *number += 1;
                *number
            };
            let alive = Alive::new(&shelf, &key);
            let mut passes = shelf.passes.subscribe();
            async move {
                let _alive = alive;
                if !_alive.shelf.open {
                    let passed =
                        |passes: &HashMap<String, usize>| passes.get(&key) >= Some(&number);
                    passes.wait_for(passed).await.unwrap();
                }
                Ok(format!("{key} {number}"))
            }
        })
    }

    fn map(self: &Arc<Self>, capacity: usize) -> Map {
        self.builder(capacity).build()
    }

    /// Lets the first `computations` of a key end.
    fn let_through(&self, key: &str, computations: usize) {
        self.passes.send_modify(|passes| {
            passes.insert(key.into(), computations);
        });
    }

    fn started(&self, key: &str) -> usize {
        self.started.lock().unwrap().get(key).copied().unwrap_or(0)
    }

    fn alive(&self, key: &str) -> usize {
        self.alive.lock().unwrap().get(key).copied().unwrap_or(0)
    }
}

struct Alive {
    shelf: Arc<Shelf>,
    key: String,
}

impl Alive {
    fn new(shelf: &Arc<Shelf>, key: &str) -> Self {
        *shelf.alive.lock().unwrap().entry(key.into()).or_default() += 1;
        Self {
            shelf: Arc::clone(shelf),
            key: key.into(),
        }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        *self.shelf.alive.lock().unwrap().get_mut(&self.key).unwrap() -= 1;
    }
}

/// How many keys a map says that it computes.
fn computing<K: std::hash::Hash + Eq, T, E>(map: &AsyncLazyMap<K, T, E>) -> usize {
    let shown = format!("{map:?}");
    let number = shown.split("computing: ").nth(1).unwrap();
    number.split(',').next().unwrap().parse().unwrap()
}
