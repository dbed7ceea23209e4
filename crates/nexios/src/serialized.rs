//! How what can be looked at is written down, with the feature `serde`.
//!
//! The names are those of the fields, and of the task routes of nexios-axum for the same facts. What has a unit has it behind
//! its name: durations are whole milliseconds, rounded down (`_ms`), times of day those since 1970 (`_unix_ms`). States and
//! reasons are the words of their `as_str`, numbers of tasks and of work are numbers.
//!
//! By hand, and all in one place: a derive would bring a compiler of macros, and an attribute to most fields.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use nexios::Background;
//!
//! let background = Background::new();
//! let import = background.spawn("import", |cx| async move { cx.progress(7, 7) })?;
//! import.await?;
//! let shown = serde_json::to_value(&background.list()[0])?;
//! assert_eq!((&shown["name"], &shown["state"]), (&"import".into(), &"completed".into()));
//! assert!(shown["elapsed_ms"].is_u64() && shown["started_unix_ms"].is_i64());
//! # Ok(())
//! # }
//! ```

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeStruct};

use crate::{
    background::{BackgroundStats, DrainReport, TaskId, TaskInfo, TaskState},
    cancel::CancelReason,
    hedge::HedgeStats,
    lazy::{LazyState, LazyStats},
    observe::{Living, Snapshot, WorkId},
    pool::{PoolDrainReport, PoolStats},
};

/// Whole milliseconds.
struct Milliseconds(Duration);

impl Serialize for Milliseconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX))
    }
}

fn milliseconds(duration: &Duration) -> Milliseconds {
    Milliseconds(*duration)
}

fn some_milliseconds(duration: &Option<Duration>) -> Option<Milliseconds> {
    duration.map(Milliseconds)
}

/// Milliseconds since 1970, negative before.
fn some_unix_milliseconds(time: &Option<SystemTime>) -> Option<i64> {
    let whole = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    time.map(|time| match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => whole(since),
        Err(before) => -whole(before.duration()),
    })
}

fn as_it_is<T>(value: &T) -> &T {
    value
}

/// Writes a struct down: each of its fields, by which name, and made of it by what.
macro_rules! fields {
    ($type:ident $(<$of:ident>)? { $($field:ident as $name:literal by $shape:ident,)+ }) => {
        impl $(<$of: Serialize>)? Serialize for $type $(<$of>)? {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                // All of them, so that a new one is not forgotten.
                let Self { $($field),+ } = self;
                let count = [$($name),+].len();
                let mut fields = serializer.serialize_struct(stringify!($type), count)?;
                $(fields.serialize_field($name, &$shape($field))?;)+
                fields.end()
            }
        }
    };
}

/// Writes something down as the word for it.
macro_rules! word {
    ($($type:ident),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    )+};
}

/// Writes down a number that has a type of its own.
macro_rules! number {
    ($($type:ident),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u64(self.0)
            }
        }
    )+};
}

word!(CancelReason, LazyState, TaskState);
number!(TaskId, WorkId);

/// The number of a task, as in a path or a question of a client.
impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self)
    }
}

fields!(TaskInfo {
    id as "id" by as_it_is,
    name as "name" by as_it_is,
    state as "state" by as_it_is,
    cancelling as "cancelling" by as_it_is,
    done as "done" by as_it_is,
    total as "total" by as_it_is,
    message as "message" by as_it_is,
    attempt as "attempt" by as_it_is,
    started as "started_unix_ms" by some_unix_milliseconds,
    elapsed as "elapsed_ms" by milliseconds,
    error as "error" by as_it_is,
    next_run as "next_run_unix_ms" by some_unix_milliseconds,
});

fields!(BackgroundStats {
    queued as "queued" by as_it_is,
    running as "running" by as_it_is,
    completed as "completed" by as_it_is,
    failed as "failed" by as_it_is,
    panicked as "panicked" by as_it_is,
    cancelled as "cancelled" by as_it_is,
    timed_out as "timed_out" by as_it_is,
    abandoned as "abandoned" by as_it_is,
    refused as "refused" by as_it_is,
});

fields!(DrainReport {
    completed as "completed" by as_it_is,
    failed as "failed" by as_it_is,
    cancelled as "cancelled" by as_it_is,
    abandoned as "abandoned" by as_it_is,
    handed_back as "handed_back" by as_it_is,
    running_pool_closures as "running_pool_closures" by as_it_is,
});

fields!(PoolStats {
    threads as "threads" by as_it_is,
    running as "running" by as_it_is,
    queued as "queued" by as_it_is,
    waiting as "waiting" by as_it_is,
    wait_p50 as "wait_p50_ms" by milliseconds,
    wait_p95 as "wait_p95_ms" by milliseconds,
    run_p50 as "run_p50_ms" by milliseconds,
    run_p95 as "run_p95_ms" by milliseconds,
    completed as "completed" by as_it_is,
    shed as "shed" by as_it_is,
    cancelled as "cancelled" by as_it_is,
    oldest_running as "oldest_running_ms" by some_milliseconds,
});

fields!(PoolDrainReport {
    still_running as "still_running" by as_it_is,
});

fields!(LazyStats {
    hits as "hits" by as_it_is,
    waits as "waits" by as_it_is,
    misses as "misses" by as_it_is,
    stale as "stale" by as_it_is,
    computations as "computations" by as_it_is,
    failures as "failures" by as_it_is,
    evictions as "evictions" by as_it_is,
    age as "age_ms" by some_milliseconds,
    fresh_for as "fresh_for_ms" by some_milliseconds,
    state as "state" by as_it_is,
    is_map as "is_map" by as_it_is,
    last_duration as "last_duration_ms" by some_milliseconds,
});

fields!(HedgeStats {
    calls as "calls" by as_it_is,
    hedges_started as "hedges_started" by as_it_is,
    hedges_won as "hedges_won" by as_it_is,
    hedges_wasted as "hedges_wasted" by as_it_is,
    hedges_suppressed as "hedges_suppressed" by as_it_is,
    current_delay as "current_delay_ms" by some_milliseconds,
});

fields!(Snapshot {
    pools as "pools" by as_it_is,
    lazies as "lazies" by as_it_is,
    hedges as "hedges" by as_it_is,
    backgrounds as "backgrounds" by as_it_is,
});

fields!(Living<T> {
    id as "id" by as_it_is,
    name as "name" by as_it_is,
    stats as "stats" by as_it_is,
});
