#![allow(warnings, clippy::all)]
//! Stub.
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
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LazyStats {
    pub hits: u64,
    pub waits: u64,
    pub misses: u64,
    pub stale: u64,
    pub computations: u64,
    pub failures: u64,
}
#[derive(Debug)]
#[non_exhaustive]
pub enum LazyError<E> {
    Failed(Arc<E>),
    Panicked,
    Recursive,
}
impl<E> Clone for LazyError<E> {
    fn clone(&self) -> Self {
        todo!()
    }
}
impl<E: fmt::Debug> fmt::Display for LazyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
impl<E: fmt::Debug> std::error::Error for LazyError<E> {}
pub struct AsyncLazy<T, E>(PhantomData<(T, E)>);
pub struct AsyncLazyBuilder<T, E>(PhantomData<(T, E)>);
impl<T: Send + Sync + 'static, E: Send + Sync + 'static> AsyncLazy<T, E> {
    pub fn new<F, Fut>(f: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        todo!()
    }
    pub fn builder<F, Fut>(f: F) -> AsyncLazyBuilder<T, E>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        todo!()
    }
    pub async fn get(&self) -> Result<Arc<T>, LazyError<E>> {
        todo!()
    }
    pub async fn refresh(&self) -> Result<Arc<T>, LazyError<E>> {
        todo!()
    }
    pub fn reset(&self) {
        todo!()
    }
    pub fn set(&self, v: T) {
        todo!()
    }
    pub fn peek(&self) -> Option<Arc<T>> {
        todo!()
    }
    pub fn age(&self) -> Option<Duration> {
        todo!()
    }
    pub fn stats(&self) -> LazyStats {
        todo!()
    }
}
impl<T, E> AsyncLazyBuilder<T, E> {
    pub fn ttl(self, _: Duration) -> Self {
        todo!()
    }
    pub fn stale_while_revalidate(self, _: Duration) -> Self {
        todo!()
    }
    pub fn stale_if_error(self, _: Duration) -> Self {
        todo!()
    }
    pub fn jitter(self, _: f64) -> Self {
        todo!()
    }
    pub fn keep_warm(self, _: bool) -> Self {
        todo!()
    }
    pub fn build(self) -> AsyncLazy<T, E> {
        todo!()
    }
}
