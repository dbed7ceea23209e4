//! The routes, one file each.

pub(crate) mod analytics;
pub(crate) mod dashboard;
pub(crate) mod index;
pub(crate) mod newsletter;
pub(crate) mod protected;
pub(crate) mod search;
pub(crate) mod tasks;
pub(crate) mod upload;
