//! What can be set, by flags or by the environment.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use reqwest::Url;

use crate::SmtpServer;

/// The nexios demo service: seven routes on real input.
///
/// On first start it creates its data (a large CSV file and two SQLite databases) in the data folder.
#[derive(Debug, Clone, Parser)]
#[command(name = "newsroom", version)]
pub struct Config {
    /// Where the service listens; with port 0 the system chooses one, and the real address is printed
    #[arg(long, env = "NEWSROOM_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// The folder of the data, created on first start
    #[arg(long, env = "NEWSROOM_DATA", value_name = "FOLDER", default_value = "newsroom-data")]
    pub data: PathBuf,

    /// The API the dashboard asks; by default the service serves one itself on a loopback port
    #[arg(long, env = "NEWSROOM_UPSTREAM", value_name = "URL")]
    pub upstream: Option<Url>,

    /// The mail server of newsletters, such as smtp://localhost:1025; by default mails become files in the outbox
    #[arg(long, env = "NEWSROOM_SMTP_URL", value_name = "URL")]
    pub smtp_url: Option<SmtpServer>,

    /// How many seconds new connections are still accepted after the signal to stop, until load balancers have
    /// noticed that readiness fails
    #[arg(long, env = "NEWSROOM_ACCEPTING", value_name = "SECONDS", value_parser = seconds, default_value = "2")]
    pub accepting: Duration,

    /// How many seconds the whole end may take: what is left a few seconds before it is cancelled
    #[arg(long, env = "NEWSROOM_SHUTDOWN_LIMIT", value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    pub shutdown_limit: Duration,

    /// How the log looks; what it tells is set by RUST_LOG
    #[arg(long, env = "NEWSROOM_LOG", value_enum, default_value_t = LogFormat::Text)]
    pub log: LogFormat,

    /// How much data the first start creates.
    #[arg(skip)]
    pub sizes: Sizes,
}

/// Reads `2` or `0.5`.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// The look of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// How much data the first start creates; tests make less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Rows of `large_dataset.csv`, default 1,000,000.
    pub rows: u64,
    /// Readers with posts and statistics, default 100.
    pub users: u64,
    /// Articles to search, default 10,000: enough that reading them all takes longer than any index.
    pub articles: u64,
    /// Subscribers of the newsletter, default 10,000.
    pub subscribers: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes { rows: 1_000_000, users: 100, articles: 10_000, subscribers: 10_000 }
    }
}
