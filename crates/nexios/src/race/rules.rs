//! How a race judges what its candidates return.

use std::fmt;

type Predicate<'env, V> = Box<dyn Fn(&V) -> bool + Send + 'env>;

/// The caller's own rules; the defaults are those of "first success wins".
pub(super) struct Rules<'env, T, E> {
    /// Whether a value may win. Default: every value.
    pub(super) accept: Option<Predicate<'env, T>>,
    /// Whether an error ends the race. Default: none does.
    pub(super) fatal: Option<Predicate<'env, E>>,
    /// Receives the values that are not returned. Default: they are dropped.
    pub(super) discard: Option<Box<dyn Fn(T) + Send + 'env>>,
    /// Whether the first finisher decides, success or not.
    pub(super) first_completed: bool,
}

impl<T, E> Rules<'_, T, E> {
    pub(super) fn accepts(&self, value: &T) -> bool {
        self.accept.as_ref().is_none_or(|accept| accept(value))
    }

    pub(super) fn is_fatal(&self, error: &E) -> bool {
        self.fatal.as_ref().is_some_and(|fatal| fatal(error))
    }

    pub(super) fn discard(&self, value: T) {
        if let Some(discard) = &self.discard {
            discard(value);
        }
    }
}

impl<T, E> Default for Rules<'_, T, E> {
    fn default() -> Self {
        Self {
            accept: None,
            fatal: None,
            discard: None,
            first_completed: false,
        }
    }
}

impl<T, E> fmt::Debug for Rules<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("accept", &self.accept.is_some())
            .field("fatal", &self.fatal.is_some())
            .field("on_discard", &self.discard.is_some())
            .field("first_completed", &self.first_completed)
            .finish()
    }
}
