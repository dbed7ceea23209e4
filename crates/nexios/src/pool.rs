#![allow(warnings, clippy::all)]
//! Stub.
use crate::CancelToken;
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
pub async fn run_in_threadpool<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    todo!()
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    Saturated,
    QueueTimeout,
    Closed,
}
impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
impl std::error::Error for PoolError {}
#[derive(Debug, Clone, Copy)]
pub enum Overload {
    Wait,
    Shed,
    ShedAfter(Duration),
}
#[derive(Clone, Debug)]
pub struct ThreadPool;
pub struct ThreadPoolBuilder;
impl ThreadPoolBuilder {
    pub fn name(self, _: impl Into<Name>) -> Self {
        todo!()
    }
    pub fn threads(self, _: usize) -> Self {
        todo!()
    }
    pub fn queue(self, _: usize) -> Self {
        todo!()
    }
    pub fn overload(self, _: Overload) -> Self {
        todo!()
    }
    pub fn build(self) -> ThreadPool {
        todo!()
    }
}
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PoolStats {
    pub threads: usize,
    pub running: usize,
    pub queued: usize,
    pub wait_p50: Duration,
    pub wait_p95: Duration,
    pub completed: u64,
    pub shed: u64,
    pub cancelled: u64,
    pub oldest_running: Option<Duration>,
}
#[derive(Debug)]
pub struct PoolDrainReport {
    pub still_running: usize,
}
impl ThreadPool {
    pub fn global() -> &'static ThreadPool {
        todo!()
    }
    pub fn builder() -> ThreadPoolBuilder {
        todo!()
    }
    pub async fn run<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        todo!()
    }
    pub async fn run_with<T: Send + 'static>(
        &self,
        f: impl FnOnce(&CancelToken) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        todo!()
    }
    pub fn try_run<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        f: F,
    ) -> Result<BoxFut<'static, Result<T, PoolError>>, F> {
        todo!()
    }
    pub fn stats(&self) -> PoolStats {
        todo!()
    }
    pub async fn close(&self) {
        todo!()
    }
    pub async fn drain(&self, _: Duration) -> PoolDrainReport {
        todo!()
    }
}
