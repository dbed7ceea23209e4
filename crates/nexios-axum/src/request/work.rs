//! A request as observers see it.
//!
//! # Invariants
//!
//! 1. It is held by the request until the last byte of its answer is out, and by a rescued handler until that is gone. Whoever
//!    lets go last ends it: once, on every path, and after all its parts.
//! 2. Whoever knows how the request ended concludes it before letting go. The first word stays, except that a panic is
//!    always said.
//! 3. No lock is held while an observer is called.

use std::{
    fmt::Display,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use axum::{
    extract::MatchedPath,
    http::{Method, Request},
};
use nexios::{
    CancelReason,
    observe::{self, CustomWork, Outcome, Update},
};

use crate::answer::grpc;

/// A request that somebody observes.
pub(super) struct RequestWork {
    /// There until the end.
    work: Option<CustomWork>,
    conclusion: Mutex<Option<Verdict>>,
    /// Whether it was said that its token fired.
    cancelling: AtomicBool,
}

/// How an observed request ended.
pub(super) enum Verdict {
    /// With this status, and a gRPC call with one of its own.
    Answered {
        status: u16,
        grpc_status: Option<u32>,
    },
    /// Without an answer, or in the middle of one; with what its body said.
    Failed(Option<String>),
    Panicked(String),
    /// At its own deadline.
    TimedOut,
    Cancelled(CancelReason),
}

impl Verdict {
    /// Of a request that was cut short.
    pub(super) fn cut_short(reason: CancelReason) -> Self {
        match reason {
            CancelReason::Deadline => Verdict::TimedOut,
            reason => Verdict::Cancelled(reason),
        }
    }
}

impl RequestWork {
    /// Says that a request has come; none if nobody observes any more.
    #[cold]
    pub(super) fn begin<B>(request: &Request<B>) -> Option<Arc<Self>> {
        let route = request.extensions().get::<MatchedPath>();
        let route = route.map_or("<unmatched>", MatchedPath::as_str);
        let work = observe::request(format!("{} {route}", known(request.method())));
        work.id()?;
        let request_work = RequestWork {
            work: Some(work),
            conclusion: Mutex::new(None),
            cancelling: AtomicBool::new(false),
        };
        if let Some(address) = request.uri().path_and_query() {
            request_work.say("uri", address);
        }
        Some(Arc::new(request_work))
    }

    fn update(&self, update: &Update<'_>) {
        if let Some(work) = &self.work {
            work.update(update);
        }
    }

    /// Says a fact.
    pub(super) fn say(&self, name: &str, value: impl Display) {
        let value = &value.to_string();
        self.update(&Update::Attribute { name, value });
    }

    /// Says how long it may take.
    pub(super) fn say_limit(&self, limit: Option<Duration>) {
        // A route may take a limit back.
        let milliseconds = limit.map(|limit| limit.as_millis().to_string());
        self.say("deadline_ms", milliseconds.unwrap_or_default());
    }

    /// Says that its token fires, if it is not over already.
    pub(super) fn cancelling(&self, reason: CancelReason) {
        let is_over = matches!(
            &*self.conclusion(),
            Some(Verdict::Failed(_) | Verdict::Panicked(_))
        );
        // Relaxed: only one says it, and publishes nothing.
        if !is_over && !self.cancelling.swap(true, Ordering::Relaxed) {
            self.update(&Update::Cancelling(reason));
        }
    }

    /// Notes how it ended.
    #[cold]
    pub(super) fn conclude(&self, verdict: Verdict) {
        let mut conclusion = self.conclusion();
        let replaces = match &*conclusion {
            None => true,
            Some(Verdict::Panicked(_)) => false,
            Some(_) => matches!(verdict, Verdict::Panicked(_)),
        };
        if replaces {
            *conclusion = Some(verdict);
        }
    }

    /// What is made in `f` is its part.
    #[cold]
    pub(super) fn scope<T>(&self, f: impl FnOnce() -> T) -> T {
        match &self.work {
            Some(work) => work.scope(f),
            None => f(),
        }
    }

    /// The same for one poll of its handler or its body.
    #[cold]
    pub(super) fn poll<T>(&self, poll: impl FnOnce() -> T) -> T {
        match &self.work {
            Some(work) => work.poll(poll),
            None => poll(),
        }
    }

    fn conclusion(&self) -> MutexGuard<'_, Option<Verdict>> {
        // Plain data; a poisoned one is still whole.
        self.conclusion
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RequestWork {
    fn drop(&mut self) {
        let Some(work) = mem::take(&mut self.work) else {
            return;
        };
        let verdict = self.conclusion().take();
        work.end(&match &verdict {
            Some(Verdict::Answered {
                status,
                grpc_status,
            }) => {
                if *status >= 500 || grpc_status.is_some_and(grpc::is_failure) {
                    Outcome::Failed(None)
                } else {
                    Outcome::Completed
                }
            }
            Some(Verdict::Failed(text)) => Outcome::Failed(text.as_deref()),
            Some(Verdict::Panicked(text)) => Outcome::Panicked(text),
            Some(Verdict::TimedOut) => Outcome::TimedOut,
            Some(Verdict::Cancelled(reason)) => Outcome::Cancelled(*reason),
            None if thread::panicking() => Outcome::Panicked(""),
            None => Outcome::Cancelled(CancelReason::OwnerDropped),
        });
    }
}

/// The method as a part of a name: a client can make up as many as it likes, and names are kept.
fn known(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::POST
        | Method::PUT
        | Method::DELETE
        | Method::HEAD
        | Method::OPTIONS
        | Method::CONNECT
        | Method::PATCH
        | Method::TRACE => method.as_str(),
        _ => "_OTHER",
    }
}
