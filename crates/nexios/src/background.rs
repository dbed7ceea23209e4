#![allow(warnings, clippy::all)]
//! Stub.
use crate::CancelReason;
use std::{
    borrow::Cow,
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;
type BoxFut<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type Name = Cow<'static, str>;
pub fn create_background_task<T: Send + 'static>(
    name: impl Into<Name>,
    f: impl Future<Output = T> + Send + 'static,
) -> BackgroundTask<T> {
    todo!()
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskId(pub u64);
pub struct BackgroundTask<T>(PhantomData<T>);
impl<T> Unpin for BackgroundTask<T> {}
#[derive(Debug)]
#[non_exhaustive]
pub enum BackgroundFailure {
    Panicked,
    Cancelled,
    TimedOut,
    Abandoned,
    Refused,
}
impl<T> Future for BackgroundTask<T> {
    type Output = Result<T, BackgroundFailure>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}
impl<T> BackgroundTask<T> {
    pub fn id(&self) -> TaskId {
        todo!()
    }
    pub fn cancel(&self) {
        todo!()
    }
    pub fn scoped(self) -> Scoped<T> {
        todo!()
    }
}
pub struct Scoped<T>(PhantomData<T>);
#[derive(Clone, Debug)]
pub struct Background;
pub struct BackgroundBuilder;
impl BackgroundBuilder {
    pub fn limit(self, _: usize) -> Self {
        todo!()
    }
    pub fn queue(self, _: usize) -> Self {
        todo!()
    }
    pub fn history(self, _: usize) -> Self {
        todo!()
    }
    pub fn build(self) -> Background {
        todo!()
    }
}
#[derive(Clone, Debug)]
pub struct TaskContext;
impl TaskContext {
    pub fn progress(&self, done: u64, total: u64) {
        todo!()
    }
    pub fn message(&self, _: impl Into<String>) {
        todo!()
    }
    pub async fn cancelled(&self) -> CancelReason {
        todo!()
    }
    pub fn is_cancelled(&self) -> bool {
        todo!()
    }
    pub fn attempt(&self) -> u32 {
        todo!()
    }
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    Queued,
    Running,
    Retrying,
    Completed,
    Failed,
    Panicked,
    Cancelled,
    TimedOut,
    Abandoned,
}
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskInfo {
    pub id: TaskId,
    pub name: Name,
    pub state: TaskState,
    pub done: u64,
    pub total: u64,
    pub message: Option<String>,
    pub attempt: u32,
    pub started: Option<std::time::SystemTime>,
    pub elapsed: Duration,
    pub error: Option<String>,
}
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    pub wait: Duration,
    pub cancel: Duration,
}
#[derive(Debug)]
#[non_exhaustive]
pub struct DrainReport {
    pub completed: Vec<Name>,
    pub failed: Vec<Name>,
    pub cancelled: Vec<Name>,
    pub abandoned: Vec<Name>,
}
impl Background {
    pub fn new() -> Self {
        todo!()
    }
    pub fn builder() -> BackgroundBuilder {
        todo!()
    }
    pub fn global() -> &'static Background {
        todo!()
    }
    pub fn spawn<T: Send + 'static, F, Fut>(
        &self,
        name: impl Into<Name>,
        f: F,
    ) -> Result<BackgroundTask<T>, BackgroundError<F>>
    where
        F: FnOnce(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        todo!()
    }
    pub fn spawn_fallible<T: Send + 'static, E: fmt::Display + Send + 'static, F, Fut>(
        &self,
        name: impl Into<Name>,
        f: F,
    ) -> Result<BackgroundTask<Result<T, E>>, BackgroundError<F>>
    where
        F: FnOnce(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        todo!()
    }
    pub fn task(&self, name: impl Into<Name>) -> TaskBuilder {
        todo!()
    }
    pub fn stats(&self) -> BackgroundStats {
        todo!()
    }
    pub fn list(&self) -> Vec<TaskInfo> {
        todo!()
    }
    pub fn get(&self, id: TaskId) -> Option<TaskInfo> {
        todo!()
    }
    pub fn cancel(&self, id: TaskId) -> bool {
        todo!()
    }
    pub async fn drain(&self, d: Drain) -> DrainReport {
        todo!()
    }
}
#[non_exhaustive]
pub enum BackgroundError<F> {
    Full(F),
    ShuttingDown(F),
    Duplicate(F),
}
impl<F> fmt::Debug for BackgroundError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
impl<F> fmt::Display for BackgroundError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
impl<F> std::error::Error for BackgroundError<F> {}
pub struct TaskBuilder;
impl TaskBuilder {
    pub fn timeout(self, _: Duration) -> Self {
        todo!()
    }
    pub fn retry(self, _: Retry) -> Self {
        todo!()
    }
    pub fn unique(self, _: impl Into<String>) -> Self {
        todo!()
    }
}
#[derive(Debug, Clone)]
pub struct Retry;
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackgroundStats {
    pub queued: usize,
    pub running: usize,
    pub completed: u64,
    pub failed: u64,
    pub panicked: u64,
    pub cancelled: u64,
    pub timed_out: u64,
    pub refused: u64,
}
