//! How a service ended.

use std::{
    borrow::Cow,
    process::ExitCode,
    time::{Duration, Instant},
};

use nexios::DrainReport;

use super::names::counted;
use crate::log::log;

/// The exit code of a process that had to give up work: `EX_SOFTWARE` of sysexits.h.
pub(crate) const ABANDONED: u8 = 70;

/// How a service ended that had begun to serve, or was told to end before.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use axum::Router;
/// use nexios_axum::NexiosApp;
///
/// let app = NexiosApp::new(Router::new())
///     .on_shutdown("flush", async || Err::<(), _>("the disk is full"))
///     .accepting(Duration::ZERO);
/// let handle = app.handle();
/// let service = tokio::spawn(app.serve("127.0.0.1:0"));
/// handle.ready().await;
/// handle.stop();
/// let report = service.await??;
/// assert_eq!(report.cause, "stopped by the program");
/// assert!(report.abandoned.iter().any(|name| name.contains("flush")), "{report:?}");
/// # Ok(())
/// # }
/// ```
///
/// # Several services in one process
///
/// Each hears the signals and makes its own report; the process has ended well if all have. A [`Background`](nexios::Background) that
/// several drain is in the reports of all of them, and so are closures on thread pools, which are counted for the whole process: reports are not to be
/// added up.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use axum::Router;
/// use nexios_axum::NexiosApp;
///
/// let app = || NexiosApp::new(Router::new()).accepting(Duration::ZERO);
/// let (public, internal) = (app(), app());
/// # let handles = [public.handle(), internal.handle()];
/// # tokio::spawn(async move { for handle in handles { handle.ready().await; handle.stop(); } });
/// let (public, internal) = tokio::try_join!(public.serve("127.0.0.1:0"), internal.serve("127.0.0.1:0"))?;
/// let worst = if public.is_clean() { &internal } else { &public };
/// assert!(worst.is_clean(), "{:?}", worst.abandoned);
/// let code = worst.exit_code(); // what `main` returns
/// # let _ = code;
/// # Ok(())
/// # }
/// ```
///
/// `try_join!` drops the one that goes on if the other cannot start; a listener for admins alone is
/// [`admin`](crate::NexiosApp::admin), without a second service.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// What ended it: the name of the signal, that the program did, or that it could not start.
    pub cause: &'static str,
    /// How long it took from the first word of it to the end.
    pub elapsed: Duration,
    /// Background tasks that returned a value after the listener had closed. Those that ended before, while the service still
    /// [accepted](crate::NexiosApp::accepting), are in no report, here as below.
    pub completed: Vec<Cow<'static, str>>,
    /// Background tasks that failed, panicked or reached their time limit after the listener had closed.
    pub failed: Vec<Cow<'static, str>>,
    /// Background tasks that were cancelled and stopped, and those that never started.
    pub cancelled: Vec<Cow<'static, str>>,
    /// Durable jobs that were stopped here and are free for other workers: no loss.
    pub handed_back: Vec<Cow<'static, str>>,
    /// What was cut off or failed to clean up: requests, sockets, tasks, closures on thread pools, hooks.
    pub abandoned: Vec<String>,
    /// Answers that were cut off on their way although their handlers had done all they had to: streams without
    /// an end of their own, which [`ServiceLife::until_closing`](crate::ServiceLife::until_closing) gives
    /// them, and answers that their clients did not read.
    ///
    /// No failure, unless [`fail_on_cut_off`](crate::NexiosApp::fail_on_cut_off) says so.
    pub cut_off: Vec<String>,
    /// When all must be over.
    pub(super) end: Instant,
    /// Whether answers that were cut off are a failure.
    strict: bool,
}

impl ShutdownReport {
    pub(super) fn new(cause: &'static str, strict: bool) -> Self {
        ShutdownReport {
            cause,
            elapsed: Duration::ZERO,
            completed: Vec::new(),
            failed: Vec::new(),
            cancelled: Vec::new(),
            handed_back: Vec::new(),
            abandoned: Vec::new(),
            cut_off: Vec::new(),
            end: Instant::now(),
            strict,
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
        self.handed_back.extend_from_slice(&drain.handed_back);
        self.abandoned
            .extend(drain.abandoned.iter().map(|name| format!("task {name}")));
        match drain.running_pool_closures {
            0 => {}
            1 => self.abandoned.push("1 closure on a thread pool".to_owned()),
            more => self
                .abandoned
                .push(format!("{more} closures on thread pools")),
        }
    }

    /// Whether no work was given up, and no answer cut off if that counts.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use axum::Router;
    /// use nexios_axum::NexiosApp;
    ///
    /// let app = NexiosApp::new(Router::new()).accepting(Duration::ZERO);
    /// let handle = app.handle();
    /// let service = tokio::spawn(app.serve("127.0.0.1:0"));
    /// handle.ready().await;
    /// handle.stop();
    /// let report = service.await??;
    /// assert!(report.is_clean(), "{:?}", report.abandoned);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.abandoned.is_empty() && (self.cut_off.is_empty() || !self.strict)
    }

    /// The exit code of the process: 0 after a [clean](Self::is_clean) end, else 70.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::process::ExitCode;
    /// use axum::Router;
    /// use nexios_axum::{NexiosApp, ServeError};
    ///
    /// // With a runtime of your own; `nexios_axum::run` does this by itself.
    /// #[tokio::main]
    /// async fn main() -> Result<ExitCode, ServeError> {
    ///     let report = NexiosApp::new(Router::new()).serve("127.0.0.1:8080").await?;
    ///     Ok(report.exit_code())
    /// }
    /// ```
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        if self.is_clean() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(ABANDONED)
        }
    }

    pub(super) fn log(&self) {
        let ShutdownReport {
            cause,
            elapsed,
            completed,
            failed,
            cancelled,
            handed_back,
            abandoned,
            cut_off,
            ..
        } = self;
        log(|| {
            let [completed, failed, cancelled, handed_back] =
                [completed, failed, cancelled, handed_back].map(|names| counted(names));
            tracing::info!(
                cause,
                ?elapsed,
                ?completed,
                ?failed,
                ?cancelled,
                ?handed_back,
                "stopped"
            );
        });
        if !cut_off.is_empty() {
            let names = counted(cut_off);
            log(|| {
                tracing::warn!(count = cut_off.len(), cut_off = ?names, "answers were cut off: see `ServiceLife::until_closing`");
            });
        }
        if !abandoned.is_empty() {
            let names = counted(abandoned);
            log(
                || tracing::error!(count = abandoned.len(), abandoned = ?names, "work was given up"),
            );
        }
    }
}
