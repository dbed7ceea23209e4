//! The nexios demo service: seven routes on real input, one binary, no server or network needed.
//!
//! [`app`] makes the whole service a router that is tested without a port; the binary adds the
//! loopback upstream, the listener and an exit code. What goes on in it is seen live at `/nexios`, the console; [`play`] makes
//! something go on.

mod access_log;
mod analytics;
mod app;
mod config;
mod console;
mod darkroom;
mod data;
mod foreign_text;
mod gallery;
mod logging;
mod mail;
mod newsletter;
mod origin;
mod play;
mod protected;
mod routes;
mod search;
mod sqlite;
mod thumbnail;
mod uploads;
mod upstream;
mod whole_file;

pub use app::{Newsroom, app, router, service};
pub use config::{Config, LogFormat, Sizes};
pub use console::ConsoleAccess;
pub use data::{OwnFolder, prepare};
pub use logging::{init_logging, subscriber};
pub use mail::{SmtpServer, SmtpUrlError};
pub use play::play;
pub use upstream::upstream;
