//! One door for everybody who looks: what every piece of work is, whose part, and how it went.
//!
//! A request, a group, a child, a pool job, a race, a background task, a lazy computation: each is a piece of
//! [`Work`] with a number, a parent, a kind and a name, and says three things: [`made`](Observer::made),
//! [`started`](Observer::started), [`ended`](Observer::ended). An [`Observer`] hears them. Work made while other work is
//! polled or run is its part, without anybody's help.
//!
//! While nobody observes it costs one look at a flag where something is made.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//!
//! use nexios::observe::{self, Observer, Outcome, Work, WorkId};
//!
//! #[derive(Default)]
//! struct Log(Mutex<Vec<String>>);
//! impl Observer for Log {
//!     fn made(&self, work: &Work<'_>) {
//!         self.0.lock().unwrap().push(format!("{} {}", work.kind.as_str(), work.name));
//!     }
//!     fn ended(&self, _: WorkId, outcome: &Outcome<'_>) {
//!         self.0.lock().unwrap().push(outcome.as_str().into());
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() {
//! let log = Arc::new(Log::default());
//! let observing = observe::observe(log.clone());
//! observe::custom("import").run(async { /* ... */ }).await;
//! drop(observing);
//! assert_eq!(*log.0.lock().unwrap(), ["custom import", "completed"]);
//! # }
//! ```

pub use crate::{
    snapshot::{Living, RegisteredTask, Snapshot, cancel, refresh, reset, snapshot, tasks_before},
    work::{
        CustomWork, Observer, Observing, Outcome, Update, Work, WorkId, WorkKind, anybody,
        background, current, custom, observe, request,
    },
};
