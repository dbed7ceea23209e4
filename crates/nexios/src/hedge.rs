#![allow(warnings, clippy::all)]
//! Stub.
use crate::RaceError;
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
#[derive(Debug, Clone, Copy)]
pub enum Delay {
    Zero,
    Fixed(Duration),
    Percentile(f64),
    OnFailureOnly,
}
#[derive(Clone, Debug)]
pub struct Hedge;
pub struct HedgeBuilder;
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HedgeStats {
    pub calls: u64,
    pub hedges_started: u64,
    pub hedges_won: u64,
    pub hedges_suppressed: u64,
}
impl HedgeBuilder {
    pub fn max_attempts(self, _: usize) -> Self {
        todo!()
    }
    pub fn delay(self, _: Delay) -> Self {
        todo!()
    }
    pub fn budget(self, _: f64) -> Self {
        todo!()
    }
    pub fn build(self) -> Hedge {
        todo!()
    }
}
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    pub number: usize,
}
impl Hedge {
    pub fn builder() -> HedgeBuilder {
        todo!()
    }
    pub async fn run<T, E, F, Fut>(&self, f: F) -> Result<T, RaceError<E>>
    where
        F: Fn(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        todo!()
    }
    pub fn stats(&self) -> HedgeStats {
        todo!()
    }
}
