//! The two routes a supervisor asks.

use std::{
    borrow::Cow,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{life::Life, phase::Phase};
use crate::{
    fallback::method_not_allowed, panic::message, problem::Problem, rationed_log::RationedLog,
};

/// When to ask again.
const A_SECOND: Duration = Duration::from_secs(1);

/// Of the whole process: who may ask may ask as often as they like.
static PANICS: RationedLog = RationedLog::every(Duration::from_secs(1));

/// The two routes, and what readiness depends on.
#[derive(Debug)]
pub(crate) struct Health {
    /// Where it is asked; `None` where it is not wanted.
    pub(crate) readiness: Option<Cow<'static, str>>,
    /// The same for liveness.
    pub(crate) liveness: Option<Cow<'static, str>>,
    /// All of them hold in a service that is ready.
    pub(crate) conditions: Vec<Condition>,
}

/// Something without which the service can do no work.
#[derive(Clone)]
pub(crate) struct Condition {
    name: Cow<'static, str>,
    holds: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Condition {
    pub(crate) fn new(
        name: Cow<'static, str>,
        holds: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Condition {
            name,
            holds: Arc::new(holds),
        }
    }

    /// A condition that panics does not hold.
    fn holds(&self) -> bool {
        catch_unwind(AssertUnwindSafe(|| (self.holds)())).unwrap_or_else(|panic| {
            let (condition, cause) = (&*self.name, message(panic));
            PANICS.say(|count| {
                tracing::error!(condition, cause, count, "conditions of `ready_if` panicked");
            });
            false
        })
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl Default for Health {
    fn default() -> Self {
        Health {
            readiness: Some("/readyz".into()),
            liveness: Some("/livez".into()),
            conditions: Vec::new(),
        }
    }
}

impl Health {
    /// The routes alone; all else is too much for now.
    pub(crate) fn alone(&self, life: &Arc<Life>) -> Router {
        let busy = || {
            std::future::ready(Problem::unavailable(
                "Too many connections are open.",
                A_SECOND,
            ))
        };
        self.add_to(Router::new().fallback(busy), life)
    }

    /// Adds the routes to a router, outside all layers it has so far.
    #[track_caller]
    pub(crate) fn add_to(&self, mut router: Router, life: &Arc<Life>) -> Router {
        if let Some(path) = &self.readiness {
            let (life, conditions) = (life.clone(), self.conditions.clone());
            let readiness = get(move || std::future::ready(readiness(life.phase(), &conditions)));
            router = router.route(path, readiness.fallback(method_not_allowed));
        }
        if let Some(path) = &self.liveness {
            let liveness = get(|| std::future::ready(fresh("alive")));
            router = router.route(path, liveness.fallback(method_not_allowed));
        }
        router
    }
}

fn readiness(phase: Phase, conditions: &[Condition]) -> Response {
    // Asked in `Ready` alone: before it what they look at may not be there, and after it nobody is sent here anyway.
    let unmet: Vec<&str> = match phase {
        Phase::Ready => {
            let unmet = conditions.iter().filter(|condition| !condition.holds());
            unmet.map(|condition| &*condition.name).collect()
        }
        _ => Vec::new(),
    };
    if phase == Phase::Ready && unmet.is_empty() {
        return fresh("ready");
    }
    let problem = Problem::unavailable("The service takes no work now.", A_SECOND);
    let problem = problem.with("phase", phase.as_str());
    if unmet.is_empty() {
        return fresh(problem);
    }
    fresh(problem.with("unmet", unmet))
}

/// An answer about this moment, which nobody should keep.
fn fresh(answer: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], answer).into_response()
}

/// Here because a service that starts does not listen yet: only a router could be asked.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_that_is_ready_takes_work() {
        use Phase::{Cancelling, Closing, Draining, Ready, Starting, Stopped};
        for phase in [Starting, Ready, Draining, Closing, Cancelling, Stopped] {
            let status = readiness(phase, &[]).status().as_u16();
            assert_eq!(status, if phase == Ready { 200 } else { 503 }, "{phase}");
        }
    }

    #[test]
    fn a_condition_is_asked_of_a_service_that_is_ready_alone() {
        use Phase::{Cancelling, Closing, Draining, Starting, Stopped};
        let never = Condition::new("never".into(), || panic!("asked"));
        for phase in [Starting, Draining, Closing, Cancelling, Stopped] {
            let status = readiness(phase, std::slice::from_ref(&never)).status();
            assert_eq!(status, 503, "{phase}");
        }
    }
}
