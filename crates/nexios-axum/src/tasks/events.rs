//! The progress of tasks as it happens, as server-sent events.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::State,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, stream};
use nexios::{TaskId, TaskInfo, TaskState};

use super::{TaskRoutes, view::TaskView};
use crate::ServiceLife;

/// How often the tasks are looked at: often enough for a progress bar, and a task may report far more often.
const LOOK: Duration = Duration::from_millis(250);

/// Answers `GET /tasks/events`; the stream ends when the service closes.
pub(super) async fn events(
    State(routes): State<Arc<TaskRoutes>>,
    life: ServiceLife,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let watch = Watch { routes, shown: HashMap::new(), news: VecDeque::new(), begun: false };
    let events = stream::unfold(watch, async |mut watch| Some((Ok(watch.next().await), watch)));
    Sse::new(life.until_closing(events)).keep_alive(KeepAlive::default())
}

/// What one client has been shown.
struct Watch {
    routes: Arc<TaskRoutes>,
    /// The live tasks, as they were last shown.
    shown: HashMap<TaskId, Shown>,
    /// Changes that were seen and not sent yet.
    news: VecDeque<TaskInfo>,
    /// Whether a first look was taken: tasks that had ended before are no news.
    begun: bool,
}

#[derive(PartialEq)]
struct Shown {
    state: TaskState,
    done: u64,
    total: u64,
    message: Option<String>,
}

impl From<&TaskInfo> for Shown {
    fn from(task: &TaskInfo) -> Self {
        Shown { state: task.state, done: task.done, total: task.total, message: task.message.clone() }
    }
}

impl Watch {
    async fn next(&mut self) -> Event {
        loop {
            if let Some(task) = self.news.pop_front() {
                let text = serde_json::to_string(&TaskView::from(task)).unwrap_or_default();
                return Event::default().event("task").data(text);
            }
            if self.begun {
                tokio::time::sleep(LOOK).await;
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let tasks = self.routes.background.list();
        let mut live = HashMap::new();
        for task in tasks {
            let (now, before) = (Shown::from(&task), self.shown.remove(&task.id));
            let ended = task.state.is_final();
            let news = before.as_ref() != Some(&now);
            // One that came and went between two looks is not told, as the history says nothing of its time.
            if news && (!ended || before.is_some()) {
                self.news.push_back(task.clone());
            }
            if !ended {
                live.insert(task.id, now);
            }
        }
        (self.shown, self.begun) = (live, true);
    }
}
