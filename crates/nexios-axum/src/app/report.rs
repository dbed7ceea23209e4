//! How a service ended.

use std::{
    borrow::Cow,
    fmt, io,
    process::ExitCode,
    time::{Duration, Instant},
};

use nexios::DrainReport;

use super::hooks::BoxError;

/// The exit code of a process that had to give up work: `EX_SOFTWARE` of sysexits.h.
pub(crate) const ABANDONED: u8 = 70;

/// How a service ended that had begun to serve, or was told to end before.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// What ended it: the name of the signal, or that the program did.
    pub cause: &'static str,
    /// How long it took from the first word of it to the end.
    pub elapsed: Duration,
    /// Background tasks that returned a value after the end began.
    pub completed: Vec<Cow<'static, str>>,
    /// Background tasks that failed, panicked or reached their time limit after the end began.
    pub failed: Vec<Cow<'static, str>>,
    /// Background tasks that were cancelled and stopped, and those that never started.
    pub cancelled: Vec<Cow<'static, str>>,
    /// What was cut off or failed to clean up: requests, sockets, tasks, closures on thread pools, hooks.
    pub abandoned: Vec<String>,
    /// When all must be over.
    pub(super) end: Instant,
}

impl ShutdownReport {
    pub(super) fn new(cause: &'static str) -> Self {
        ShutdownReport {
            cause,
            elapsed: Duration::ZERO,
            completed: Vec::new(),
            failed: Vec::new(),
            cancelled: Vec::new(),
            abandoned: Vec::new(),
            end: Instant::now(),
        }
    }

    pub(super) fn add_drain(&mut self, drain: Option<&DrainReport>) {
        let Some(drain) = drain else {
            self.abandoned.push("background tasks".to_owned());
            return;
        };
        self.completed.extend_from_slice(&drain.completed);
        self.failed.extend_from_slice(&drain.failed);
        self.cancelled.extend_from_slice(&drain.cancelled);
        self.abandoned.extend(drain.abandoned.iter().map(|name| format!("task {name}")));
        match drain.running_pool_closures {
            0 => {}
            1 => self.abandoned.push("1 closure on a thread pool".to_owned()),
            more => self.abandoned.push(format!("{more} closures on thread pools")),
        }
    }

    /// Whether no work was given up.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.abandoned.is_empty()
    }

    /// The exit code of the process: 0 after a clean end, 70 if work was given up.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        if self.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(ABANDONED) }
    }

    pub(super) fn log(&self) {
        let ShutdownReport { cause, elapsed, completed, failed, cancelled, abandoned, .. } = self;
        tracing::info!(cause, ?elapsed, ?completed, ?failed, ?cancelled, "stopped");
        if !self.is_clean() {
            tracing::error!(count = abandoned.len(), abandoned = ?first(abandoned), "work was given up");
        }
    }
}

/// So many names as fit a line of the log.
pub(super) fn first(names: &[String]) -> &[String] {
    &names[..names.len().min(64)]
}

/// Why a service did not come to serve.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// A startup hook failed or panicked.
    Startup {
        /// The name of the hook.
        hook: Cow<'static, str>,
        /// What it said.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address cannot be listened on.
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The system lets nobody listen for signals.
    Signals(io::Error),
}

impl ServeError {
    pub(super) fn startup(hook: Cow<'static, str>, cause: BoxError) -> Self {
        ServeError::Startup { hook, cause }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Startup { hook, cause } => write!(f, "startup hook {hook:?} failed: {cause}"),
            ServeError::Listen { address, cause } => write!(f, "cannot listen on {address}: {cause}"),
            ServeError::Signals(cause) => write!(f, "cannot listen for signals: {cause}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ServeError::Startup { cause, .. } => Some(cause.as_ref()),
            ServeError::Listen { cause, .. } | ServeError::Signals(cause) => Some(cause),
        }
    }
}
