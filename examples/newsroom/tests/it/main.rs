//! The integration tests of the demo service, one binary: a module for each route, and the ground they share.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod analytics;
mod answer;
mod arrival;
mod binary;
mod bombs;
mod config;
mod console;
mod dashboard;
mod data;
mod data_folder;
mod database;
mod full_database;
mod gallery;
mod interrupted;
mod letters;
mod log;
mod lost_log;
mod mail_server;
mod mail_trouble;
mod newsletter;
mod origin;
mod overload;
mod pictures;
mod play;
#[cfg(feature = "postgres")]
#[path = "../../../../crates/nexios-jobs/tests/suite/server.rs"]
#[allow(
    dead_code,
    clippy::print_stdout,
    reason = "the suite of jobs uses all of it, and it says what is skipped"
)]
mod postgres_server;
mod protected;
mod search;
mod service;
mod shared_jobs;
mod shutdown;
mod tasks;
mod upload;
mod web;
