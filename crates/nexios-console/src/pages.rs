//! The pages as HTML.
//!
//! ```text
//! handlers      which page, for whom
//! view          what it shows: read from the store, redacted, and rendered as regions
//! running, …    how each looks
//! region        the parts that change, as the events send them
//! ```

mod address;
mod background;
mod handlers;
mod jobs;
mod layout;
mod lazies;
mod lints;
mod now;
mod parts;
mod pools;
mod races;
mod region;
mod request;
mod requests;
mod running;
mod text;
mod view;
mod viewer;

pub(crate) use handlers::router;
pub(crate) use region::{Html, Region, Row};
pub(crate) use view::{Source, View};
pub(crate) use viewer::Viewer;

#[cfg(test)]
mod tests;
