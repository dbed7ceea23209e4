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
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// use nexios::AsyncLazyMap;
    ///
    /// let pages = AsyncLazyMap::new(1_000, |path: String| async move {
    ///     Ok::<_, std::io::Error>(format!("<h1>{path}</h1>"))
    /// });
    /// assert_eq!(*pages.get("/news").await?, "<h1>/news</h1>");
    /// # Ok(())
    /// # }
    /// ```
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
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// use std::time::Duration;
    /// use nexios::AsyncLazyMap;
    ///
    /// let squares = AsyncLazyMap::builder(1_000, |n: u64| async move { Ok::<_, std::io::Error>(n * n) })
    ///     .ttl(Duration::from_secs(60))
    ///     .build();
    /// assert_eq!(*squares.get(&12).await?, 144);
    /// # Ok(())
    /// # }
    /// ```
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
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// use nexios::AsyncLazyMap;
    ///
    /// let squares = AsyncLazyMap::new(1_000, |n: u64| async move { Ok::<_, std::io::Error>(n * n) });
    /// let (one, two) = tokio::join!(squares.get(&12), squares.get(&12));
    /// assert_eq!((*one?, *two?), (144, 144));
    /// assert_eq!(squares.stats().computations, 1);
    /// # Ok(())
    /// # }
    /// ```
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
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// use std::{io, sync::atomic::{AtomicU32, Ordering}};
    /// use nexios::AsyncLazyMap;
    ///
    /// static VERSION: AtomicU32 = AtomicU32::new(1);
    /// let pages = AsyncLazyMap::new(100, |_path: String| async {
    ///     Ok::<_, io::Error>(VERSION.fetch_add(1, Ordering::Relaxed))
    /// });
    /// assert_eq!(*pages.get("/news").await?, 1);
    /// assert_eq!(*pages.refresh("/news").await?, 2);
    /// assert_eq!(*pages.get("/news").await?, 2);
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// use nexios::AsyncLazyMap;
    ///
    /// let users = AsyncLazyMap::new(100, |_id: u64| async { Err(std::io::Error::other("no route")) });
    /// users.set(7, "Ada"); // whoever writes a user puts it here as well
    /// assert_eq!(*users.get(&7).await?, "Ada");
    /// # Ok(())
    /// # }
    /// ```
    pub fn set(&self, key: K, value: T) {
        key_site::set(&self.keys, key, value);
    }

    /// Forgets the value and the last error of `key`.
    ///
    /// A call that begins after this has returned never sees what was computed or being computed before.
    /// Those who wait already are given what they wait for.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// use nexios::AsyncLazyMap;
    ///
    /// let squares = AsyncLazyMap::new(100, |n: u64| async move { Ok::<_, std::io::Error>(n * n) });
    /// squares.get(&3).await?;
    /// squares.get(&4).await?;
    /// squares.reset(&3);
    /// assert_eq!((squares.peek(&3), squares.peek(&4).as_deref()), (None, Some(&16)));
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// use nexios::AsyncLazyMap;
    ///
    /// let squares = AsyncLazyMap::new(100, |n: u64| async move { Ok::<_, std::io::Error>(n * n) });
    /// squares.get(&3).await?;
    /// squares.get(&4).await?;
    /// squares.reset_all();
    /// assert!(squares.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn reset_all(&self) {
        self.keys.reset_all();
    }

    /// Returns the value of `key` that is there, fresh or inside its stale limits; never waits for a
    /// computation and never starts one.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// use nexios::AsyncLazyMap;
    ///
    /// let squares = AsyncLazyMap::new(100, |n: u64| async move { Ok::<_, std::io::Error>(n * n) });
    /// assert!(squares.peek(&3).is_none(), "nobody asked for it");
    /// squares.get(&3).await?;
    /// assert_eq!(squares.peek(&3).as_deref(), Some(&9));
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    /// use nexios::AsyncLazyMap;
    ///
    /// let squares = AsyncLazyMap::new(100, |n: u64| async move { Ok::<_, std::io::Error>(n * n) });
    /// squares.set(3, 9);
    /// tokio::time::advance(Duration::from_secs(60)).await;
    /// assert_eq!(squares.age(&3), Some(Duration::from_secs(60)));
    /// assert_eq!(squares.age(&4), None);
    /// # }
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// use nexios::AsyncLazyMap;
    ///
    /// let squares = AsyncLazyMap::new(2, |n: u64| async move { Ok::<_, std::io::Error>(n * n) });
    /// assert!(squares.is_empty());
    /// for n in 0..10 {
    ///     squares.get(&n).await?;
    /// }
    /// assert!(squares.len() <= 2);
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// use nexios::AsyncLazyMap;
    ///
    /// let pages = AsyncLazyMap::builder(1_000_000, |path: String| async move {
    ///     Ok::<_, std::io::Error>(format!("<h1>{path}</h1>"))
    /// })
    /// .weigher(|_path, page| page.len())
    /// .build();
    /// let page = pages.get("/news").await?;
    /// assert_eq!(pages.weight(), page.len() as u64);
    /// # Ok(())
    /// # }
    /// ```
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
