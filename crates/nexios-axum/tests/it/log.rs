//! The log of the whole test binary, kept in memory; tests find their lines by a route of their own.

use std::{
    io::{self, Write},
    sync::{Mutex, Once},
};

use serde_json::Value;
use tracing_subscriber::filter::LevelFilter;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Memory;

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends the log of this process to memory, from the first call on.
pub(crate) fn start() {
    static START: Once = Once::new();
    START.call_once(|| {
        let log = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::DEBUG)
            .with_writer(|| Memory);
        let log = log
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .finish();
        tracing::subscriber::set_global_default(log).unwrap();
    });
}

/// Returns the lines that contain a text.
pub(crate) fn lines_with(text: &str) -> Vec<Value> {
    let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    log.lines()
        .filter(|line| line.contains(text))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Returns the access lines of a route.
pub(crate) fn access(route: &str) -> Vec<Value> {
    let mut lines = lines_with(route);
    lines.retain(|line| line["target"] == "nexios_axum::access" && line["route"] == route);
    lines
}

/// Returns the access lines of a path.
pub(crate) fn access_of_path(path: &str) -> Vec<Value> {
    let mut lines = lines_with(path);
    lines.retain(|line| line["target"] == "nexios_axum::access" && line["path"] == path);
    lines
}
