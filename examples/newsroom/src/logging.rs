//! The log: to standard error, for people or for machines.

use std::io;

use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::LogFormat;

/// Sends the process' log to standard error; `RUST_LOG` chooses what, by default everything from `info` up.
///
/// # Errors
///
/// The log goes somewhere else already.
pub fn init_logging(format: LogFormat) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing::subscriber::set_global_default(subscriber(format, filter, io::stderr))
}

/// Makes a log that goes to `writer`; each line carries the id of its request.
pub fn subscriber<W>(format: LogFormat, filter: EnvFilter, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Text => Box::new(log.with_ansi(false).finish()),
        LogFormat::Json => Box::new(log.json().flatten_event(true).with_span_list(false).finish()),
    }
}
