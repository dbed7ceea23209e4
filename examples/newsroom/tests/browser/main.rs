//! The console as people see it: in a real browser, over the debugging port of Chromium.
//!
//! Without Chromium the tests say that they were skipped, and pass; with `NEXIOS_SKIP_NOTHING` set they fail. What the pages
//! look like is kept in `target/tmp/console`.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod accessible;
mod binary;
mod browser;
mod budget;
mod doors;
mod jobs;
mod keys;
mod live;
mod page;
mod pictures;
mod protocol;
mod requests;
mod script;
mod stage;
