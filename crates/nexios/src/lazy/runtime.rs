//! Where computations run: on the caller's tokio runtime, or as tasks of the model checker.

#[cfg(not(nexios_shuttle))]
pub(super) use tokio::runtime::Handle as Runtime;

#[cfg(nexios_shuttle)]
pub(super) struct Runtime;

#[cfg(nexios_shuttle)]
impl Runtime {
    #[allow(clippy::unnecessary_wraps, reason = "as tokio's")]
    pub(super) fn try_current() -> Result<Self, std::convert::Infallible> {
        Ok(Self)
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(shuttle::future::spawn(task));
    }
}
