//! Work, and those who are told of it. [`observe`](crate::observe) is its public side.

pub(crate) mod alive;
pub(crate) mod cancellable;
pub(crate) mod concurrent;
mod current;
mod custom;
mod entered;
mod handle;
pub(crate) mod identity;
pub(crate) mod observed;
mod observer;
mod observers;
mod outcome;
pub(crate) mod place;
mod slow_poll;
pub(crate) mod waiting;

pub use current::current;
pub use custom::{CustomWork, background, custom, request};
pub use identity::{Work, WorkId, WorkKind};
pub use observer::Observer;
pub use observers::{Observing, anybody, observe};
pub use outcome::{Outcome, Update};
