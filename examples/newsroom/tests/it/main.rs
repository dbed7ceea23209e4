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
mod protected;
mod search;
mod service;
mod shutdown;
mod tasks;
mod upload;
mod web;
