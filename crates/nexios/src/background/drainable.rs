use super::{Background, Drain, DrainReport};
use futures_util::future::BoxFuture;

/// Background work that a service ends in three phases before it exits: a [`Background`], or the workers of durable jobs.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::time::Duration;
/// use nexios::{Background, Drain, Drainable};
///
/// let parts: Vec<Box<dyn Drainable>> = vec![Box::new(Background::new())];
/// for part in parts {
///     let report = part.drain(Drain { wait: Duration::from_secs(20), cancel: Duration::from_secs(3) }).await;
///     assert!(report.abandoned.is_empty());
/// }
/// # }
/// ```
pub trait Drainable: Send + Sync + 'static {
    /// Takes on nothing new, waits, asks what is left to end, and cuts it off; says how all of it ended.
    ///
    /// It is called again to hurry, and once more to look: of two drains the shorter limits hold, and one after the end
    /// returns at once.
    ///
    /// # Cancel safety
    ///
    /// A drain that has begun goes on if this is dropped.
    fn drain(&self, limits: Drain) -> BoxFuture<'_, DrainReport>;

    /// What has not ended, a text each, for the line of the log that says what a shutdown waits for. Default: nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{Background, Drainable};
    ///
    /// let background = Background::new();
    /// let _task = background.spawn_future("report", std::future::pending::<()>());
    /// assert_eq!(Drainable::unfinished(&background), ["background task report"]);
    /// # }
    /// ```
    fn unfinished(&self) -> Vec<String> {
        Vec::new()
    }

    /// The registry, if this is one: where a service's handlers start their background tasks.
    fn registry(&self) -> Option<&Background> {
        None
    }
}

impl Drainable for Background {
    fn drain(&self, limits: Drain) -> BoxFuture<'_, DrainReport> {
        Box::pin(Background::drain(self, limits))
    }

    fn unfinished(&self) -> Vec<String> {
        let tasks = self
            .list()
            .into_iter()
            .filter(|task| !task.state.is_final());
        tasks
            .map(|task| format!("background task {}", task.name))
            .collect()
    }

    fn registry(&self) -> Option<&Background> {
        Some(self)
    }
}
