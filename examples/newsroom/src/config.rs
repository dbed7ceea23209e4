//! What can be set, by flags or by the environment.

mod secret;
mod value;

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use reqwest::Url;

use crate::{SmtpServer, console::ConsoleAccess};
use secret::Secret;

/// The nexios demo service: seven routes on real input.
///
/// On first start it creates its data (a large CSV file and two SQLite databases) in the data folder, which belongs to
/// one running service at a time.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "newsroom",
    version,
    after_long_help = "Exit codes: 0 after a clean end, 1 when it did not start, 2 for options it cannot read, 70 \
                       when work had to be given up at the end."
)]
pub struct Config {
    /// Where the service listens: a host or an IP address, and a port. With port 0 the system chooses one, and the
    /// real address is printed
    #[arg(
        long,
        env = "NEWSROOM_LISTEN",
        value_name = "HOST:PORT",
        value_parser = value::listen,
        default_value = "127.0.0.1:8080"
    )]
    pub listen: String,

    /// A name under which clients on the same machine ask for the service, as a proxy does that passes a public name
    /// on; may be given more than once. Without it they are served under addresses, `localhost` and names without a
    /// dot only: where the service listens on a loopback address that holds for all routes, elsewhere for those of
    /// tasks
    #[arg(
        long,
        env = "NEWSROOM_HOST",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = value::host
    )]
    pub host: Vec<String>,

    /// The folder of the data, created on first start
    #[arg(
        long,
        env = "NEWSROOM_DATA",
        value_name = "FOLDER",
        default_value = "newsroom-data"
    )]
    pub data: PathBuf,

    /// The API the dashboard asks, such as http://localhost:9000; by default the service serves one itself on a
    /// loopback port
    #[arg(
        long,
        env = "NEWSROOM_UPSTREAM",
        hide_env_values = true,
        value_name = "URL",
        value_parser = Secret::new(value::upstream)
    )]
    pub upstream: Option<Url>,

    /// The mail server of newsletters, such as smtp://localhost:1025 or smtp://user:password@relay; by default mails
    /// become files in the outbox
    #[arg(
        long,
        env = "NEWSROOM_SMTP_URL",
        hide_env_values = true,
        value_name = "URL",
        value_parser = Secret::new(str::parse::<SmtpServer>)
    )]
    pub smtp_url: Option<SmtpServer>,

    /// Where newsletters under way are kept, as sqlite:FILE or postgres://user:password@host/database: services that share it
    /// send them together, and what one that is killed leaves undone another does; by default a file in the data folder
    #[arg(
        long,
        env = "NEWSROOM_JOBS",
        hide_env_values = true,
        value_name = "URL",
        value_parser = Secret::new(value::jobs)
    )]
    pub jobs: Option<String>,

    /// How many seconds the mail server may take for one mail
    #[arg(
        long,
        env = "NEWSROOM_SMTP_LIMIT",
        value_name = "SECONDS",
        value_parser = value::limit,
        default_value = "10"
    )]
    pub smtp_limit: Duration,

    /// How many seconds after a mail was refused for now, or the server was not there, the next attempt comes; the
    /// one after that, the last, takes twice as long
    #[arg(
        long,
        env = "NEWSROOM_SMTP_RETRY_AFTER",
        value_name = "SECONDS",
        value_parser = value::seconds,
        default_value = "2"
    )]
    pub smtp_retry_after: Duration,

    /// How many seconds new connections are still accepted after the signal to stop, until load balancers have
    /// noticed that readiness fails
    #[arg(
        long,
        env = "NEWSROOM_ACCEPTING",
        value_name = "SECONDS",
        value_parser = value::seconds,
        default_value = "2"
    )]
    pub accepting: Duration,

    /// How many seconds the whole end may take: what is left a few seconds before it is cancelled
    #[arg(
        long,
        env = "NEWSROOM_SHUTDOWN_LIMIT",
        value_name = "SECONDS",
        value_parser = value::seconds,
        default_value = "30"
    )]
    pub shutdown_limit: Duration,

    /// How the log looks; what it tells is set by RUST_LOG
    #[arg(long, env = "NEWSROOM_LOG", value_enum, default_value_t = LogFormat::Text)]
    pub log: LogFormat,

    /// Who may see and use the console at /nexios: nobody (off), this machine (loopback), or whoever knows the
    /// password of the user "newsroom" (basic), which is taken from NEWSROOM_CONSOLE_SECRET
    #[arg(
        long,
        env = "NEWSROOM_CONSOLE",
        value_name = "off|loopback|basic",
        value_parser = value::console,
        default_value = "loopback"
    )]
    pub console: ConsoleAccess,

    /// Plays a scene of about 20 seconds to the service, again and again until it ends: something to see on every page
    /// of the console
    #[arg(long)]
    pub play: bool,

    /// How much data the first start creates.
    #[arg(skip)]
    pub sizes: Sizes,
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
        Sizes {
            rows: 1_000_000,
            users: 100,
            articles: 10_000,
            subscribers: 10_000,
        }
    }
}
