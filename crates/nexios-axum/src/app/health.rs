//! The two routes a supervisor asks.

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{life::Life, phase::Phase};
use crate::{fallback::method_not_allowed, problem::Problem};

/// When to ask again.
const A_SECOND: Duration = Duration::from_secs(1);

/// Where the two routes are; `None` for one that is not wanted.
#[derive(Debug)]
pub(crate) struct HealthPaths {
    pub(crate) readiness: Option<Cow<'static, str>>,
    pub(crate) liveness: Option<Cow<'static, str>>,
}

impl Default for HealthPaths {
    fn default() -> Self {
        HealthPaths {
            readiness: Some("/readyz".into()),
            liveness: Some("/livez".into()),
        }
    }
}

impl HealthPaths {
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
            let life = life.clone();
            let readiness = get(move || std::future::ready(readiness(life.phase())));
            router = router.route(path, readiness.fallback(method_not_allowed));
        }
        if let Some(path) = &self.liveness {
            let liveness = get(|| std::future::ready(fresh("alive")));
            router = router.route(path, liveness.fallback(method_not_allowed));
        }
        router
    }
}

fn readiness(phase: Phase) -> Response {
    match phase {
        Phase::Ready => fresh("ready"),
        phase => {
            let problem = Problem::unavailable("The service takes no work now.", A_SECOND);
            fresh(problem.with("phase", phase.as_str()))
        }
    }
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
            let status = readiness(phase).status().as_u16();
            assert_eq!(status, if phase == Ready { 200 } else { 503 }, "{phase}");
        }
    }
}
