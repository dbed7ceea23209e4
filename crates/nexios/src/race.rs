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
pub struct Candidate<'env, T, E>(PhantomData<BoxFut<'env, Result<T, E>>>);
impl<'env, T, E> Candidate<'env, T, E> {
    pub fn new(name: impl Into<Name>, f: impl Future<Output = Result<T, E>> + Send + 'env) -> Self {
        todo!()
    }
    pub fn after(self, _: Duration) -> Self {
        todo!()
    }
    pub fn timeout(self, _: Duration) -> Self {
        todo!()
    }
    pub fn on_failure(self) -> Self {
        todo!()
    }
}
pub fn run_until_first_complete<'env, T, E>(
    c: impl IntoIterator<Item = Candidate<'env, T, E>>,
) -> Race<'env, T, E> {
    todo!()
}
pub struct Race<'env, T, E>(PhantomData<BoxFut<'env, Result<T, E>>>);
impl<'env, T: Send + 'env, E: Send + 'env> Race<'env, T, E> {
    pub fn timeout(self, _: Duration) -> Self {
        todo!()
    }
    pub fn accept(self, _: impl Fn(&T) -> bool + Send + 'env) -> Self {
        todo!()
    }
    pub fn fatal(self, _: impl Fn(&E) -> bool + Send + 'env) -> Self {
        todo!()
    }
    pub fn on_discard(self, _: impl Fn(T) + Send + 'env) -> Self {
        todo!()
    }
    pub fn first_completed(self) -> Self {
        todo!()
    }
    pub async fn winner(self) -> Result<Winner<T>, RaceError<E>> {
        todo!()
    }
}
impl<'env, T: Send + 'env, E: Send + 'env> IntoFuture for Race<'env, T, E> {
    type Output = Result<T, RaceError<E>>;
    type IntoFuture = BoxFut<'env, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        todo!()
    }
}
#[derive(Debug)]
#[non_exhaustive]
pub struct Winner<T> {
    pub value: T,
    pub name: Name,
    pub index: usize,
    pub elapsed: Duration,
    pub started: usize,
}
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure<E> {
    Failed(E),
    TimedOut,
    Refused,
    Cancelled,
    NotStarted,
}
#[derive(Debug)]
pub struct RaceError<E>(PhantomData<E>);
impl<E> RaceError<E> {
    pub fn is_timeout(&self) -> bool {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    pub fn failures(&self) -> &[(Name, Failure<E>)] {
        todo!()
    }
    pub fn into_failures(self) -> Vec<(Name, Failure<E>)> {
        todo!()
    }
}
impl<E> fmt::Display for RaceError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
impl<E: fmt::Debug> std::error::Error for RaceError<E> {}
