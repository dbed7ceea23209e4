//! A thread with a runtime of its own for all that is done with the database: a handler that holds its thread holds up no
//! transaction, no lock and no lease.

use std::{io, thread};

use futures_util::future::BoxFuture;
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

use crate::error::{DatabaseError, JobsError};

use super::Reply;

#[derive(Debug)]
pub(super) struct Attendant {
    runtime: Handle,
    /// Dropped, it ends the thread and drops what runs there.
    _end: oneshot::Sender<()>,
}

impl Attendant {
    pub(super) fn start() -> Result<Self, JobsError> {
        let unavailable = |error: io::Error| JobsError::Unavailable(DatabaseError::new(error));
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(unavailable)?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("nexios-jobs".to_owned())
            .spawn(move || drop(runtime.block_on(ended)))
            .map_err(unavailable)?;
        Ok(Self {
            runtime: handle,
            _end: end,
        })
    }

    pub(super) fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.runtime.spawn(task);
    }

    /// Does a step there; it is done to its end, also if the reply is dropped.
    pub(super) fn call<T: Send + 'static>(
        &self,
        step: impl Future<Output = Result<T, JobsError>> + Send + 'static,
    ) -> Reply<'static, T> {
        let done = self.runtime.spawn(step);
        Box::pin(async {
            match done.await {
                Ok(result) => result,
                Err(error) => Err(JobsError::Unavailable(DatabaseError::new(error))),
            }
        })
    }
}
