//! Structured concurrency for Rust web services.

mod background;
mod cancel;
#[cfg(doctest)]
mod compile_fail;
mod group;
mod hedge;
#[allow(dead_code)]
mod latency;
mod lazy;
mod pool;
mod race;
#[allow(dead_code)]
mod residue;
#[allow(unused_imports)]
mod sync;

pub use background::{
    Background, BackgroundBuilder, BackgroundError, BackgroundFailure, BackgroundStats, BackgroundTask,
    Drain, DrainReport, Retry, RetryTaskBuilder, Scoped, TaskBuilder, TaskContext, TaskId, TaskInfo,
    TaskState, create_background_task,
};
pub use cancel::{CancelReason, CancelScope, CancelToken, Interrupted};
pub use group::{OnError, Spawner, Task, TaskGroup, TaskGroupBuilder};
pub use hedge::{Attempt, Delay, Hedge, HedgeBuilder, HedgeStats};
pub use lazy::{AsyncLazy, AsyncLazyBuilder, LazyError, LazyGuard, LazyStats};
pub use pool::{
    Overload, PoolDrainReport, PoolError, PoolStats, ThreadPool, ThreadPoolBuilder, run_in_threadpool,
};
pub use race::{Candidate, Failure, Race, RaceError, Winner, run_until_first_complete};
