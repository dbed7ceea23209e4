//! Cancellation: a token that says why, and the scope that carries it.
//!
//! Everything else in the crate stands on this module: groups, races and pool calls made inside a
//! [`CancelScope`] end when its token fires.

mod interrupted;
mod limit;
mod reason;
mod scope;
#[cfg(any(feature = "http", feature = "tonic"))]
mod status;
mod token;

pub use interrupted::Interrupted;
pub(crate) use limit::{Limited, limit_to};
pub use reason::CancelReason;
pub use scope::{CancelScope, TokenSource};
pub use token::CancelToken;
