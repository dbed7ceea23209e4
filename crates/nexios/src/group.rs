#![allow(warnings, clippy::all)]
//! Stub.
use crate::{CancelToken, Interrupted};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    Cancel,
    Continue,
}
pub struct TaskGroup<'env, E>(PhantomData<std::sync::Mutex<Vec<BoxFut<'env, E>>>>);
pub struct TaskGroupBuilder;
impl TaskGroupBuilder {
    pub fn name(self, _: impl Into<Name>) -> Self {
        todo!()
    }
    pub fn timeout(self, _: Duration) -> Self {
        todo!()
    }
    pub fn limit(self, _: usize) -> Self {
        todo!()
    }
    pub fn on_error(self, _: OnError) -> Self {
        todo!()
    }
    pub fn grace(self, _: Duration) -> Self {
        todo!()
    }
    pub fn parent(self, _: &CancelToken) -> Self {
        todo!()
    }
    pub fn detached(self) -> Self {
        todo!()
    }
    pub fn build<'env, E>(self) -> TaskGroup<'env, E> {
        todo!()
    }
}
impl<'env, E> fmt::Debug for TaskGroup<'env, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
impl TaskGroup<'static, ()> {
    pub fn builder() -> TaskGroupBuilder {
        todo!()
    }
}
impl<'env, E: From<Interrupted> + Send + 'env> TaskGroup<'env, E> {
    pub fn new() -> Self {
        todo!()
    }
    pub fn spawn<T: Send + 'env, F: Future<Output = Result<T, E>> + Send + 'env>(
        &self,
        f: F,
    ) -> Task<'env, T, E> {
        todo!()
    }
    pub fn spawn_named<T: Send + 'env, F: Future<Output = Result<T, E>> + Send + 'env>(
        &self,
        name: impl Into<Name>,
        f: F,
    ) -> Task<'env, T, E> {
        todo!()
    }
    pub fn spawn_parallel<T: Send + 'static, F: Future<Output = Result<T, E>> + Send + 'static>(
        &self,
        f: F,
    ) -> Task<'env, T, E>
    where
        E: 'static,
    {
        todo!()
    }
    pub fn run<'g, T, B: Future<Output = Result<T, E>>>(
        &'g self,
        body: B,
    ) -> impl Future<Output = Result<T, E>> + use<'g, 'env, T, E, B> {
        async move { todo!() }
    }
    pub async fn join(&self) -> Result<(), E> {
        todo!()
    }
    pub async fn map<I, T, F, Fut>(&self, items: I, f: F) -> Result<Vec<T>, E>
    where
        I: IntoIterator,
        F: Fn(I::Item) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, E>> + Send,
        T: Send,
    {
        todo!()
    }
    pub fn spawn_daemon(&self, f: impl Future<Output = ()> + Send + 'env) {
        todo!()
    }
    pub fn cancel(&self) {
        todo!()
    }
    pub fn token(&self) -> CancelToken {
        todo!()
    }
    pub fn defer(&self, f: impl Future<Output = ()> + Send + 'static) {
        todo!()
    }
    pub fn suppressed(&self) -> Vec<E> {
        todo!()
    }
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}
pub struct Task<'env, T, E>(PhantomData<(BoxFut<'env, Result<T, E>>, fn() -> (T, E))>);
impl<'env, T, E> Unpin for Task<'env, T, E> {}
impl<'env, T, E: From<Interrupted>> Future for Task<'env, T, E> {
    type Output = Result<T, E>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}
impl<'env, T, E> Task<'env, T, E> {
    pub fn cancel(&self) {
        todo!()
    }
    pub fn is_finished(&self) -> bool {
        todo!()
    }
    pub fn name(&self) -> &str {
        todo!()
    }
    pub fn id(&self) -> u64 {
        todo!()
    }
}
impl<'env, T, E> fmt::Debug for Task<'env, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
pub struct Spawner<'env, E>(PhantomData<std::sync::Mutex<Vec<BoxFut<'env, E>>>>);
impl<'env, E> Clone for Spawner<'env, E> {
    fn clone(&self) -> Self {
        todo!()
    }
}
impl<'env, E: From<Interrupted> + Send + 'env> Spawner<'env, E> {
    pub fn spawn<T: Send + 'env, F: Future<Output = Result<T, E>> + Send + 'env>(
        &self,
        f: F,
    ) -> Task<'env, T, E> {
        todo!()
    }
    pub fn spawn_named<T: Send + 'env, F: Future<Output = Result<T, E>> + Send + 'env>(
        &self,
        name: impl Into<Name>,
        f: F,
    ) -> Task<'env, T, E> {
        todo!()
    }
    pub fn spawn_parallel<T: Send + 'static, F: Future<Output = Result<T, E>> + Send + 'static>(
        &self,
        f: F,
    ) -> Task<'env, T, E>
    where
        E: 'static,
    {
        todo!()
    }
    pub fn cancel(&self) {
        todo!()
    }
    pub fn token(&self) -> CancelToken {
        todo!()
    }
}
impl<'env, E: From<Interrupted> + Send + 'env> TaskGroup<'env, E> {
    pub fn spawner(&self) -> Spawner<'env, E> {
        todo!()
    }
}
