use std::{fmt, future::Future, hash::Hash, panic::Location};

use super::keys::{ErrorHook, Keys, MakeComputation, Weigh};
use crate::lazy::{
    computation::limited,
    error::LazyError,
    settings::{LazySettings, setters},
};

/// Settings of an [`AsyncLazyMap`](crate::AsyncLazyMap); made by
/// [`AsyncLazyMap::builder`](crate::AsyncLazyMap::builder).
///
/// The limits are those of [`AsyncLazyBuilder`](crate::AsyncLazyBuilder), for each key's value by itself. An error that is
/// kept ([`error_backoff`](Self::error_backoff)) is an entry like a value, of weight one. With
/// [`keep_warm`](Self::keep_warm) nothing bounds how many computations run whose callers have left.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
/// use std::time::Duration;
///
/// use nexios::AsyncLazyMap;
///
/// let pages = AsyncLazyMap::builder(64 * 1024 * 1024, |path: String| async move {
///     Ok::<_, std::io::Error>(format!("<h1>{path}</h1>").into_bytes())
/// })
/// .weigher(|path, page| path.len() + page.len())
/// .name("rendered pages")
/// .ttl(Duration::from_secs(60))
/// .build();
/// assert_eq!(*pages.get("/news").await?, b"<h1>/news</h1>");
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct AsyncLazyMapBuilder<K, T, E> {
    capacity: usize,
    compute: Box<dyn MakeComputation<K, T, E>>,
    weigh: Option<Weigh<K, T>>,
    on_error: Option<ErrorHook<K, E>>,
    settings: LazySettings,
}

impl<K, T, E> AsyncLazyMapBuilder<K, T, E> {
    #[track_caller]
    pub(super) fn new<F, Fut>(capacity: usize, f: F, location: &'static Location<'static>) -> Self
    where
        F: Fn(K) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        K: 'static,
        T: 'static,
        E: 'static,
    {
        assert!(
            capacity > 0,
            "the capacity of a lazy map is at least 1, not {capacity}"
        );
        Self {
            capacity,
            compute: Box::new(move |key, limit| limited(f(key), limit)),
            weigh: None,
            on_error: None,
            settings: LazySettings::new(location),
        }
    }

    /// Makes the capacity a total of weights, such as bytes, instead of a number of entries; a weight of zero
    /// counts as one.
    ///
    /// The closure is called when a value is complete or set; if it panics, that is logged and the value is
    /// not kept. The cache has four parts at most, with a share of the capacity each: a value that is heavier
    /// than a part's share (and one a little lighter) is given to those who wait for it, but not kept.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
    /// use nexios::AsyncLazyMap;
    ///
    /// let pages = AsyncLazyMap::builder(1_000, |length: usize| async move {
    ///     Ok::<_, std::io::Error>(vec![0_u8; length])
    /// })
    /// .weigher(|_length, page| page.len())
    /// .build();
    /// pages.get(&100).await?;
    /// let giant = pages.get(&5_000).await?; // heavier than all that is kept
    /// assert_eq!((giant.len(), pages.weight()), (5_000, 100));
    /// # Ok(())
    /// # }
    /// ```
    pub fn weigher(mut self, weigh: impl Fn(&K, &T) -> usize + Send + Sync + 'static) -> Self {
        self.weigh = Some(Box::new(weigh));
        self
    }

    /// Calls `hook` about every computation that fails, panics or reaches its time limit, with its key; the default is none.
    ///
    /// It is called as that of [`AsyncLazyBuilder::on_error`](crate::AsyncLazyBuilder::on_error) is: once for each, in the task of the
    /// computation, and a panic in it is logged and goes no further.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::mpsc;
    /// use nexios::AsyncLazyMap;
    ///
    /// let (failures, failed) = mpsc::channel();
    /// let pages = AsyncLazyMap::builder(100, |_path: String| async { Err::<String, _>("no template") })
    ///     .on_error(move |path: &String, error| {
    ///         let _ = failures.send(format!("{path}: {error}"));
    ///     })
    ///     .build();
    /// assert!(pages.get("/news").await.is_err());
    /// assert_eq!(failed.try_recv()?, r#"/news: the computation failed: "no template""#);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_error(mut self, hook: impl Fn(&K, &LazyError<E>) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Box::new(hook));
        self
    }

    setters!();
}

impl<K, T, E> AsyncLazyMapBuilder<K, T, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    pub(super) fn into_keys(self) -> Keys<K, T, E> {
        Keys::new(
            self.capacity,
            self.compute,
            self.weigh,
            self.on_error,
            self.settings,
        )
    }
}

impl<K, T, E> fmt::Debug for AsyncLazyMapBuilder<K, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncLazyMapBuilder")
            .field("capacity", &self.capacity)
            .field("weighed", &self.weigh.is_some())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
