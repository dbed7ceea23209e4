//! How a race judges what its candidates return.

use std::{any::Any, fmt};

type Predicate<'env, V> = Box<dyn Fn(&V) -> bool + Send + 'env>;

/// The caller's own rules; the defaults are those of "first success wins".
pub(crate) struct Rules<'env, T, E> {
    /// `None` as long as there are none, so that a plain race does not carry them about.
    closures: Option<Box<Closures<'env, T, E>>>,
    /// Whether the first finisher decides, success or not.
    pub(super) first_completed: bool,
    /// Whether a panic is a failure of its candidate only.
    pub(super) panic_is_failure: bool,
}

pub(super) struct Closures<'env, T, E> {
    /// Whether a value may win. Default: every value.
    pub(super) accept: Option<Predicate<'env, T>>,
    /// Whether an error ends the race. Default: none does.
    pub(super) fatal: Option<Predicate<'env, E>>,
    /// Receives the values that are not returned. Default: they are dropped.
    pub(super) discard: Option<Box<dyn Fn(T) + Send + 'env>>,
}

impl<'env, T, E> Rules<'env, T, E> {
    pub(super) fn closures_mut(&mut self) -> &mut Closures<'env, T, E> {
        self.closures.get_or_insert_with(|| Box::new(Closures { accept: None, fatal: None, discard: None }))
    }

    pub(super) fn accepts(&self, value: &T) -> bool {
        let accept = self.closures.as_ref().and_then(|closures| closures.accept.as_ref());
        accept.is_none_or(|accept| accept(value))
    }

    pub(super) fn is_fatal(&self, error: &E) -> bool {
        let fatal = self.closures.as_ref().and_then(|closures| closures.fatal.as_ref());
        fatal.is_some_and(|fatal| fatal(error))
    }

    pub(super) fn discard(&self, value: T) {
        if let Some(discard) = self.closures.as_ref().and_then(|closures| closures.discard.as_ref()) {
            discard(value);
        }
    }
}

impl<T, E> Default for Rules<'_, T, E> {
    fn default() -> Self {
        Self { closures: None, first_completed: false, panic_is_failure: false }
    }
}

impl<T, E> fmt::Debug for Rules<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("accept", &self.closures.as_ref().is_some_and(|closures| closures.accept.is_some()))
            .field("fatal", &self.closures.as_ref().is_some_and(|closures| closures.fatal.is_some()))
            .field("on_discard", &self.closures.as_ref().is_some_and(|closures| closures.discard.is_some()))
            .field("first_completed", &self.first_completed)
            .field("panic_is_failure", &self.panic_is_failure)
            .finish()
    }
}

/// The text of a panic, as far as it has one.
pub(super) fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "panic without a message".to_owned()
    }
}
