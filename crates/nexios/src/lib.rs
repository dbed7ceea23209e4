//! Structured concurrency for Rust web services: every piece of concurrent work has an owner, a bound, a
//! deadline and a name; when its owner goes, it goes, and you can see all of it.
//!
//! | you want | use |
//! |---|---|
//! | parts of one answer at the same time, borrowing from the caller; the first error stops the rest | [`TaskGroup`] |
//! | CPU work off the async threads, with a bounded queue | [`run_in_threadpool`], [`ThreadPool`] |
//! | the first good answer of several sources, with delays, limits and all the errors | [`run_until_first_complete`] |
//! | the same operation again when it is slow, without a storm of copies | [`Hedge`] |
//! | work that outlives the request, with a name, progress, retries and an orderly shutdown | [`create_background_task`], [`Background`] |
//! | one computation for all callers, with reset, expiry and stale values; the same by key, bounded | [`AsyncLazy`], [`AsyncLazyMap`] |
//!
//! ```
//! use std::time::Duration;
//! use nexios::{Interrupted, TaskGroup, run_in_threadpool};
//!
//! async fn name(user: &str) -> Result<String, Interrupted> {
//!     Ok(user.to_uppercase())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Interrupted> {
//! let user = String::from("ada");
//! let group = TaskGroup::builder().timeout(Duration::from_secs(2)).build::<Interrupted>();
//! let page = group
//!     .run(async {
//!         let name = group.spawn(name(&user)); // borrows; an error would drop the other child
//!         let picture = group.spawn_value(run_in_threadpool(|| "picture".len()));
//!         Ok(format!("{}: {} bytes", name.await?, picture.await?))
//!     })
//!     .await?;
//! assert_eq!(page, "ADA: 7 bytes");
//! # Ok(())
//! # }
//! ```
//!
//! The [`guide`] begins with ten minutes of [structured concurrency](guide::structured_concurrency), has
//! [recipes](guide::recipes) by question, and pages for those who come from [tokio](guide::coming_from_tokio), Python, Go, Kotlin
//! and Java.
//!
//! **The error of a group is yours**, with one condition: `impl From<nexios::Interrupted> for AppError`, by which the group says that it
//! was cancelled or ran out of time. `anyhow::Error`, `Box<dyn Error + Send + Sync>`, `std::io::Error`, `String` and [`Interrupted`]
//! itself have it. [Children with other errors, and children that cannot fail](TaskGroup#the-error).
//!
//! What is made inside a [`CancelScope`] (a request, a background task) ends when its [`CancelToken`] fires.
//!
//! # Features
//!
//! `cron` (default): [`Background::cron`], schedules by the time of day.
//!
//! `http`, `tonic`: `http::StatusCode` and `tonic::Status` as the error of a group.
//!
//! `serde`: `Serialize` of what can be looked at: [`TaskInfo`], [`DrainReport`], the statistics, [`observe::Snapshot`] and what they
//! consist of; `Deserialize` of [`TaskId`]. Durations are whole milliseconds, rounded down, and times of day milliseconds since
//! 1970, with the unit behind the name (`elapsed_ms`, `started_unix_ms`); states and reasons are the words of their `as_str`; all
//! other fields have their own names.
//!
//! `test-util`: holds a paused tokio clock while pool jobs are outstanding, so that a time limit around one does
//! not fire early in a test.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod background;
mod backoff;
mod cancel;
#[cfg(doctest)]
mod compile_fail;
mod flat_drop;
mod group;
pub mod guide;
mod hedge;
mod latency;
mod lazy;
mod log;
pub mod observe;
mod panics;
mod per_thread;
mod pool;
mod punctual;
mod race;
mod residue;
#[cfg(feature = "serde")]
mod serialized;
mod snapshot;
mod sync;
mod work;

#[cfg(feature = "cron")]
pub use background::CronError;
pub use background::{
    Background, BackgroundBuilder, BackgroundError, BackgroundFailure, BackgroundStats,
    BackgroundTask, Drain, DrainReport, Drainable, Retry, RetryTaskBuilder, Scoped, TaskBuilder,
    TaskContext, TaskId, TaskInfo, TaskState, TaskWatch, create_background_task,
};
pub use cancel::{CancelReason, CancelScope, CancelToken, Interrupted, TokenSource};
pub use group::{ChildResult, GroupError, OnError, Spawner, Task, TaskGroup, TaskGroupBuilder};
pub use hedge::{Attempt, Delay, Hedge, HedgeBuilder, HedgeStats};
pub use lazy::{
    AsyncLazy, AsyncLazyBuilder, AsyncLazyMap, AsyncLazyMapBuilder, ErrorBackoff, LazyError,
    LazyGuard, LazyState, LazyStats,
};
pub use pool::{
    Overload, PoolDrainReport, PoolError, PoolStats, ThreadPool, ThreadPoolBuilder,
    run_in_threadpool,
};
pub use race::{Candidate, Failure, Race, RaceError, Winner, run_until_first_complete};

/// The examples of the pages are compiled and run as well.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../docs/design.md")]
    mod design {}
    #[doc = include_str!("../docs/compare.md")]
    mod compare {}
}
