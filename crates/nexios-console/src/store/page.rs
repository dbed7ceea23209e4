//! What each page shows, made from copies: no lock of the store is held here.

mod background;
mod critical;
mod earlier;
mod eta;
mod lazies;
mod lints;
mod now;
mod pools;
mod races;
mod request;
mod requests;
mod running;
mod status;
mod trace;
mod work;

pub(super) use lints::{Flapping, described};
pub(super) use request::{contest_name, race_kind};
