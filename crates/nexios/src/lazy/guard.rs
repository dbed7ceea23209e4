use std::{fmt, ops::Deref, sync::Arc};

use arc_swap::Guard;

use super::freshness::ValueEntry;

/// A borrowed lazy value, which does not count as a reference to it: many threads take one without waiting
/// for each other, where they would fight over the count of an [`Arc`].
///
/// It stays the same value whatever happens to the cell meanwhile. Take it, read, drop it: a thread can hold
/// only a few of them cheaply, so what is kept across an await or stored is better taken with
/// [`get`](crate::AsyncLazy::get).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexios::LazyError<std::io::Error>> {
/// use nexios::AsyncLazy;
///
/// let words = AsyncLazy::new(|| async { Ok::<_, std::io::Error>(vec!["async", "await"]) });
/// let guard = words.get_guard().await?;
/// words.set(vec!["join"]);
/// assert_eq!(*guard, ["async", "await"]); // what it was when it was taken
/// assert_eq!(words.get_guard().await?.len(), 1);
/// # Ok(())
/// # }
/// ```
pub struct LazyGuard<T> {
    held: HeldValue<T>,
}

enum HeldValue<T> {
    /// Read from the cell.
    Borrowed(Guard<Option<Arc<ValueEntry<T>>>>),
    /// Waited for.
    Owned(Arc<T>),
}

impl<T> LazyGuard<T> {
    /// Takes what [`ValueCell::fresh`](super::cell::Cell::fresh) and its like return, which is never `None`
    /// inside.
    #[inline]
    pub(super) fn borrowed(entry: Guard<Option<Arc<ValueEntry<T>>>>) -> Self {
        Self {
            held: HeldValue::Borrowed(entry),
        }
    }

    pub(super) fn owned(value: Arc<T>) -> Self {
        Self {
            held: HeldValue::Owned(value),
        }
    }
}

impl<T> Deref for LazyGuard<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.held {
            HeldValue::Borrowed(entry) => {
                &entry
                    .as_ref()
                    .expect("a guard is made only of an entry that is there, and never changes")
                    .value
            }
            HeldValue::Owned(value) => value,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for LazyGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
