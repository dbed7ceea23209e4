//! Background work that survives the process: jobs in SQLite beside the service, in Postgres for many machines, or in
//! memory for tests.
//!
//! A background task of [`nexios`] dies with its process. A job is the same work, kept in a database until it has ended: a
//! [`Kind`] names it, [`Jobs`] keeps it, [`Workers`] run it.
//!
//! ```
//! use nexios_jobs::{JobContext, JobError, Jobs, Kind, Policy};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Letter { recipients: Vec<String> }
//!
//! const SEND_NEWSLETTER: Kind<Letter, u64> = Kind::new("send newsletter");
//!
//! async fn send(letter: Letter, job: JobContext) -> Result<u64, JobError> {
//!     let total = letter.recipients.len() as u64;
//!     for (sent, _recipient) in letter.recipients.iter().enumerate() {
//!         // ... deliver, at most once per job.idempotency_key() and recipient ...
//!         job.progress(sent as u64 + 1, total);
//!     }
//!     Ok(total)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let jobs = Jobs::memory(); // or Jobs::open("sqlite:newsroom-data/jobs.db").await?
//! let _workers = jobs.workers().handle(SEND_NEWSLETTER, Policy::new().concurrency(2), send).start().await?;
//!
//! let letter = Letter { recipients: vec!["ada@example.org".into()] };
//! let job = jobs.enqueue(SEND_NEWSLETTER, &letter).await?;
//! assert_eq!(job.wait().await?, 1);
//! # Ok(())
//! # }
//! ```
//!
//! **What it promises:** at least once. A job that was enqueued is run until it ends or its attempts are spent, whatever is
//! killed; a *live* job is never run twice at the same time; after a kill it runs again, and
//! [`JobContext::idempotency_key`] is for that. The rest is in [`guide`].
//!
//! # Features
//!
//! `sqlite` (default): [`Jobs::open`] with `sqlite:` and `Jobs::sqlite`. `postgres`: the same for Postgres. Both stand on
//! sqlx, whose types are part of this crate's API: [`sqlx`](https://docs.rs/sqlx/0.9) 0.9.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt_end;
mod builder;
mod clock;
mod context;
mod engine;
mod enqueue;
mod error;
mod filter;
mod handle;
mod id;
mod info;
mod job_error;
mod jobs;
mod kind;
mod lock;
mod log;
mod nul;
mod origin;
mod payload;
mod policy;
mod progress;
mod punctual;
mod random;
mod signal;
mod state;
mod transaction;
mod workers;

pub use attempt_end::AttemptEnd;
pub use builder::JobsBuilder;
pub use context::JobContext;
pub use enqueue::JobBuilder;
pub use error::{DatabaseError, JobsError};
pub use filter::Filter;
pub use handle::{JobFailure, JobHandle};
pub use id::{JobId, JobIdError};
pub use info::{JobAttempt, JobInfo, JobPage};
pub use job_error::JobError;
pub use jobs::Jobs;
pub use kind::Kind;
pub use policy::Policy;
pub use progress::JobProgress;
pub use signal::Signal;
pub use state::JobState;
pub use transaction::JobTransaction;
pub use workers::{
    Workers,
    builder::WorkersBuilder,
    report::{JobsDrainReport, WorkersStats},
};

#[doc = include_str!("../docs/jobs.md")]
pub mod guide {}

/// The examples of the pages are compiled and run as well.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../docs/design.md")]
    mod design {}
}
