//! One suite of rules, run on every engine; and what only real processes can show.

mod cancelling;
mod child;
mod crons;
mod draining;
mod keys;
mod kit;
mod looking;
mod observing;
mod retries;
mod running;
mod signals;
#[cfg(feature = "sqlite")]
mod sqlite;

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
    };
}
pub(crate) use on_every_engine;
