//! What it takes to tell an observer that does nothing: the same work once more beside it while nobody looks.

use std::{future::Future, sync::Arc};

use nexios::{
    Interrupted, TaskGroup,
    observe::{self, Observer, Observing, Outcome},
};

use crate::contest::Contest;

/// Made, started and ended.
const EVENTS: u64 = 3;
const CHILDREN: u64 = 16;

struct Nothing;

impl Observer for Nothing {}

fn look() -> Observing {
    observe::observe(Arc::new(Nothing))
}

/// One unit is one event.
pub(crate) fn contests() -> Vec<Contest> {
    vec![
        contest("observe/event/custom", EVENTS, || async { custom() }),
        contest(
            "observe/event/group_of_children",
            EVENTS * (CHILDREN + 1),
            children,
        ),
    ]
}

fn custom() {
    observe::custom("work").end(&Outcome::Completed);
}

async fn children() -> u64 {
    let group = TaskGroup::new();
    let run = group.run(async {
        let tasks: Vec<_> = (0..CHILDREN)
            .map(|value| group.spawn(async move { Ok::<_, Interrupted>(value) }))
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await?;
        }
        Ok(sum)
    });
    run.await.unwrap_or_default()
}

fn contest<Fut>(
    name: &'static str,
    events: u64,
    work: impl Fn() -> Fut + Clone + Send + 'static,
) -> Contest
where
    Fut: Future + Send + 'static,
    Fut::Output: Send,
{
    let observed = work.clone();
    Contest::new(name, events)
        .side("observed", move || {
            // Once in the process: it is one of its own for each side.
            static LOOKS: std::sync::OnceLock<Observing> = std::sync::OnceLock::new();
            LOOKS.get_or_init(look);
            observed()
        })
        .side("nobody looks", work)
}
