//! The handler of one kind, for arguments and outputs of any type.

use std::{borrow::Cow, sync::Arc};

use futures_util::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    context::JobContext,
    job_error::JobError,
    payload::{self, PayloadFault},
    policy::Policy,
};

pub(crate) struct KindHandler {
    pub(crate) name: Cow<'static, str>,
    pub(crate) policy: Policy,
    call: Call,
}

/// Arguments to output, both as JSON.
type Call =
    Box<dyn Fn(String, JobContext) -> BoxFuture<'static, Result<String, Fault>> + Send + Sync>;

/// Why an attempt gave no output.
pub(crate) enum Fault {
    /// The handler says so.
    Error(JobError),
    /// The payload cannot be read, or the output not be written: no further attempt can change that.
    Payload(String),
}

impl KindHandler {
    pub(crate) fn new<A, O, E, F, Fut>(name: Cow<'static, str>, policy: Policy, handler: F) -> Self
    where
        A: DeserializeOwned + Send + 'static,
        O: Serialize + Send + 'static,
        E: Into<JobError>,
        F: Fn(A, JobContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let call = move |args: String, context| {
            let handler = handler.clone();
            let attempt = async move {
                let read = serde_json::from_str(&args);
                // Read, it is no longer needed, however long the job takes.
                drop(args);
                let args = read.map_err(|error| {
                    Fault::Payload(format!("the arguments cannot be read: {error}"))
                })?;
                let handled = handler(args, context).await;
                written(handled)
            };
            Box::pin(attempt) as BoxFuture<'static, _>
        };
        Self {
            name,
            policy,
            call: Box::new(call),
        }
    }

    /// One attempt; nothing of the handler runs before its first poll.
    pub(crate) fn call(
        &self,
        args: String,
        context: JobContext,
    ) -> BoxFuture<'static, Result<String, Fault>> {
        (self.call)(args, context)
    }
}

fn written<O: Serialize, E: Into<JobError>>(handled: Result<O, E>) -> Result<String, Fault> {
    let output = handled.map_err(|error| Fault::Error(error.into()))?;
    payload::write(&output).map_err(|fault| {
        Fault::Payload(match fault {
            PayloadFault::NotJson(error) => {
                format!("the output cannot be written as JSON: {error}")
            }
            PayloadFault::TooLarge { bytes } => {
                format!(
                    "the output has {bytes} bytes, at most {} are kept",
                    payload::LIMIT
                )
            }
        })
    })
}
