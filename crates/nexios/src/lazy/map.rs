//! Lazy values by key, bounded.

mod builder;
mod key_site;
mod keys;

use std::{
    borrow::Borrow, fmt, future::Future, hash::Hash, panic::Location, sync::Arc, time::Duration,
};

pub use builder::AsyncLazyMapBuilder;
use key_site::Spot;
use keys::Keys;
use tokio::time::Instant;

use super::{call::LazyCall, error::LazyError, stats::LazyStats};

/// Values by key, each computed by an async closure when it is first asked for, once however many ask.
///
/// What [`AsyncLazy`](crate::AsyncLazy) promises of its one value holds for each key's: the map owns the
/// computations, errors are shared and not kept, [`reset`](Self::reset), [`reset_all`](Self::reset_all) and
/// [`set`](Self::set) win over computations that began before them. Keys never wait for each other.
///
/// The map keeps as many entries as its capacity says, or as weigh that much
/// ([`weigher`](AsyncLazyMapBuilder::weigher)); which ones stay is decided by
/// [`quick_cache`](https://docs.rs/quick_cache)'s S3-FIFO. Computations that run are not entries: eviction
/// does not touch them, and a key has one at a time, whatever becomes of its entry. For one value,
/// [`AsyncLazy`](crate::AsyncLazy) is the simpler tool; for a cache that is filled by hand, moka.
///
/// A key is looked up by any borrowed form of it, such as `&str` for `String`. The methods call the keys'
/// `Eq` and `Hash` under a lock: these must not use the map.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
/// use nexios::AsyncLazyMap;
///
/// let squares = AsyncLazyMap::new(1_000, |n: u64| async move { Ok::<_, std::io::Error>(n * n) });
/// assert_eq!(*squares.get(&12).await?, 144);
/// assert_eq!(squares.len(), 1);
/// squares.reset(&12);
/// assert!(squares.peek(&12).is_none());
/// # Ok(())
/// # }
/// ```
pub struct AsyncLazyMap<K, T, E> {
    keys: Arc<Keys<K, T, E>>,
}

impl<K, T, E> AsyncLazyMap<K, T, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// Makes a map of at most `capacity` entries with the default settings: kept until evicted, no time
    /// limit.
    ///
    /// # Panics
    ///
    /// If `capacity` is zero.
    #[track_caller]
    #[must_use]
    pub fn new<F, Fut>(capacity: usize, f: F) -> Self
    where
        F: Fn(K) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        AsyncLazyMapBuilder::new(capacity, f, Location::caller()).build()
    }

    /// Starts the settings of a map of at most `capacity` entries (or of that total weight, with a
    /// [`weigher`](AsyncLazyMapBuilder::weigher)).
    ///
    /// # Panics
    ///
    /// If `capacity` is zero.
    #[track_caller]
    pub fn builder<F, Fut>(capacity: usize, f: F) -> AsyncLazyMapBuilder<K, T, E>
    where
        F: Fn(K) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        AsyncLazyMapBuilder::new(capacity, f, Location::caller())
    }

    /// Returns the value of `key`, computing it if need be.
    ///
    /// As [`AsyncLazy::get`](crate::AsyncLazy::get), for one key. A fresh value is ready at the first poll,
    /// without an allocation (after a thread's first); reading it takes a lock of the cache for reading.
    ///
    /// # Errors
    ///
    /// As [`AsyncLazy::get`](crate::AsyncLazy::get); [`LazyError::Recursive`] inside the computation of the
    /// same key.
    ///
    /// # Panics
    ///
    /// If a computation has to be started and the call is polled outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// As [`AsyncLazy::get`](crate::AsyncLazy::get).
    #[inline]
    pub fn get<'a, Q>(
        &'a self,
        key: &'a Q,
    ) -> impl Future<Output = Result<Arc<T>, LazyError<E>>> + Send + Unpin + use<'a, K, Q, T, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        LazyCall::<_, _, _, false>::new(Spot {
            keys: &self.keys,
            key,
        })
    }

    /// Computes the value of `key` anew, whatever there is, and returns the new one.
    ///
    /// As [`AsyncLazy::refresh`](crate::AsyncLazy::refresh), for one key.
    ///
    /// # Errors
    ///
    /// As [`AsyncLazy::refresh`](crate::AsyncLazy::refresh).
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    ///
    /// # Cancel safety
    ///
    /// As [`AsyncLazy::refresh`](crate::AsyncLazy::refresh).
    pub fn refresh<'a, Q>(
        &'a self,
        key: &'a Q,
    ) -> impl Future<Output = Result<Arc<T>, LazyError<E>>> + Send + Unpin + use<'a, K, Q, T, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        LazyCall::<_, _, _, true>::new(Spot {
            keys: &self.keys,
            key,
        })
    }

    /// Puts a value in the place of what there is of `key`, with an age of zero.
    ///
    /// It wins over a computation that is running: its waiters are given this value, and it is dropped.
    pub fn set(&self, key: K, value: T) {
        key_site::set(&self.keys, key, value);
    }

    /// Forgets the value and the last error of `key`.
    ///
    /// A call that begins after this has returned never sees what was computed or being computed before.
    /// Those who wait already are given what they wait for.
    pub fn reset<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.keys.reset(key);
    }

    /// Forgets all values and errors, as [`reset`](Self::reset) of every key at one instant.
    ///
    /// It takes time in proportion to the number of entries; callers do not wait for it.
    pub fn reset_all(&self) {
        self.keys.reset_all();
    }

    /// Returns the value of `key` that is there, fresh or inside its stale limits; never waits for a
    /// computation and never starts one.
    #[must_use]
    pub fn peek<Q>(&self, key: &Q) -> Option<Arc<T>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.keys
            .servable(key)?
            .as_ref()
            .map(|entry| Arc::clone(&entry.value))
    }

    /// Returns the time since the value that [`peek`](Self::peek) returns was complete or set.
    #[must_use]
    pub fn age<Q>(&self, key: &Q) -> Option<Duration>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.keys
            .servable(key)?
            .as_ref()
            .map(|entry| Instant::now().duration_since(entry.completed))
    }

    /// Returns how many entries there are, those included that have expired since they were last asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns true when there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the weight of all entries together; without a [`weigher`](AsyncLazyMapBuilder::weigher) their
    /// number.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.keys.weight()
    }

    /// Returns what the map has done so far, for all keys together; the numbers are read one after the other.
    #[must_use]
    pub fn stats(&self) -> LazyStats {
        self.keys.stats()
    }
}

impl<K, T, E> AsyncLazyMapBuilder<K, T, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// Makes the map; nothing is computed before the first call.
    #[must_use]
    pub fn build(self) -> AsyncLazyMap<K, T, E> {
        AsyncLazyMap {
            keys: Arc::new(self.into_keys()),
        }
    }
}

impl<K, T, E> Drop for AsyncLazyMap<K, T, E> {
    fn drop(&mut self) {
        self.keys.close();
    }
}

impl<K: Hash + Eq, T, E> fmt::Debug for AsyncLazyMap<K, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncLazyMap")
            .field("name", &self.keys.name())
            .field("len", &self.keys.len())
            .field("weight", &self.keys.weight())
            .field("capacity", &self.keys.capacity())
            .field("computing", &self.keys.computing())
            .finish_non_exhaustive()
    }
}
