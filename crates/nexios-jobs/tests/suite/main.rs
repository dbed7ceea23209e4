//! One suite of rules, run on every engine; and what only real processes can show.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "rules are functions that the tests of each engine call, and one says what is skipped"
)]

mod cancelling;
mod child;
mod crons;
mod draining;
mod history;
mod keys;
mod kit;
mod looking;
mod lost_workers;
mod observing;
#[cfg(feature = "postgres")]
mod postgres;
mod processes;
mod progress;
mod retries;
mod running;
#[cfg(feature = "postgres")]
mod server;
mod signals;
#[cfg(feature = "sqlite")]
mod sqlite;
mod warnings;

/// Runs each rule on each engine: in memory by a paused clock, else in real time.
macro_rules! on_every_engine {
    ($($rule:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $rule() {
                super::$rule($crate::kit::Kit::memory()).await;
            })+
        }
        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                super::$rule($crate::kit::Kit::sqlite()).await;
            })+
        }
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                if let Some(kit) = $crate::kit::Kit::postgres().await {
                    super::$rule(kit).await;
                }
            })+
        }
    };
}
pub(crate) use on_every_engine;

/// Runs each rule on each engine that several processes can share.
macro_rules! on_every_shared_engine {
    ($($rule:ident),+ $(,)?) => {
        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                super::$rule($crate::kit::Kit::sqlite()).await;
            })+
        }
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                if let Some(kit) = $crate::kit::Kit::postgres().await {
                    super::$rule(kit).await;
                }
            })+
        }
    };
}
pub(crate) use on_every_shared_engine;
