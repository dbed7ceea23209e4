//! The log of the whole test binary, kept in memory; tests find their lines by request id or text.

use std::{
    io::{self, Write},
    sync::{Mutex, Once},
};

use newsroom::{LogFormat, subscriber};
use serde_json::Value;
use tracing_subscriber::EnvFilter;

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
        let log = subscriber(LogFormat::Json, EnvFilter::new("info"), || Memory);
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
