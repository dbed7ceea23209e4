//! The log: to standard error, for people or for machines.
//!
//! The service outlives it. A standard error that cannot be written, as its disk is full or its reader gone, costs
//! the lines and nothing else.

use std::{env, io};

use anyhow::{Context, bail};
use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::LogFormat;

/// Sends the process' log to standard error; `RUST_LOG` chooses what, by default everything from `info` up.
///
/// # Errors
///
/// `RUST_LOG` cannot be read, or the log goes somewhere else already.
pub fn init_logging(format: LogFormat) -> anyhow::Result<()> {
    let filter = match env::var("RUST_LOG") {
        Ok(text) if !text.trim().is_empty() => {
            EnvFilter::builder().parse(&text).with_context(|| {
                format!("RUST_LOG={text:?} is no filter, write `info` or `info,nexios=debug`")
            })?
        }
        Ok(_) | Err(env::VarError::NotPresent) => EnvFilter::new("info"),
        Err(env::VarError::NotUnicode(_)) => bail!("RUST_LOG is no text"),
    };
    Ok(tracing::subscriber::set_global_default(subscriber(
        format,
        filter,
        io::stderr,
    ))?)
}

/// Makes a log that goes to `writer`; each line carries the id of its request.
///
/// What `writer` refuses is lost in silence.
pub fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // It would say so with `eprintln!`, which panics where standard error cannot be written: in requests and
        // destructors.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => Box::new(log.with_ansi(false).finish()),
        LogFormat::Json => Box::new(
            log.json()
                .flatten_event(true)
                .with_span_list(false)
                .finish(),
        ),
    }
}
