//! What happens to the tasks of a registry.

use std::{collections::HashMap, sync::Arc, time::Duration};

use nexios::{Background, CancelReason, TaskId, TaskInfo, TaskState, TaskWatch};

use super::view::TaskView;
use crate::feed::{Feed, News, Watched};

/// How often the tasks are looked at: often enough for a progress bar, and a task may report far more often.
const LOOK: Duration = Duration::from_millis(250);

impl Watched for Background {
    type Id = TaskId;

    const EVENT: &'static str = "task";

    const FULL: &'static str = "As many clients watch the tasks as may at a time.";

    async fn watch(feed: Arc<Feed<Self>>) {
        Watcher::new(feed).run().await;
    }
}

/// Looks at the tasks, for all who watch.
struct Watcher {
    feed: Arc<Feed<Background>>,
    /// The live tasks as they were last seen.
    followed: HashMap<TaskId, Followed>,
}

struct Followed {
    /// Shows the end of the task, too, when the history has forgotten it.
    watch: TaskWatch,
    seen: Seen,
}

/// What is news if it changes.
#[derive(PartialEq)]
struct Seen {
    state: TaskState,
    cancelling: Option<CancelReason>,
    done: u64,
    total: u64,
    message: Option<String>,
}

impl From<&TaskInfo> for Seen {
    fn from(task: &TaskInfo) -> Self {
        Seen {
            state: task.state,
            cancelling: task.cancelling,
            done: task.done,
            total: task.total,
            message: task.message.clone(),
        }
    }
}

impl Watcher {
    fn new(feed: Arc<Feed<Background>>) -> Self {
        Watcher {
            feed,
            followed: HashMap::new(),
        }
    }

    async fn run(mut self) {
        while self.look() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Tells what has changed since the last look; false if nobody wants to know any more.
    fn look(&mut self) -> bool {
        let mut changes = Vec::new();
        // The list is a copy of every task; counting is cheap, and a quiet registry is looked at four times a second.
        let stats = self.feed.watched.stats();
        if stats.running + stats.queued > 0 {
            self.find_new(&mut changes);
        }
        self.followed.retain(|&id, followed| {
            let task = followed.watch.info();
            let (now, ended) = (Seen::from(&task), task.state.is_final());
            if now != followed.seen {
                changes.push(News {
                    id,
                    text: text(task),
                    ended,
                });
                followed.seen = now;
            }
            !ended
        });
        self.feed.publish(changes)
    }

    /// Begins to follow the live tasks that are not followed yet.
    fn find_new(&mut self, changes: &mut Vec<News<TaskId>>) {
        for task in self.feed.watched.list() {
            if task.state.is_final() || self.followed.contains_key(&task.id) {
                continue;
            }
            // Ended and forgotten since: it has shown itself to nobody.
            let Some(watch) = self.feed.watched.watch(task.id) else {
                continue;
            };
            let seen = Seen::from(&task);
            let id = task.id;
            changes.push(News {
                id,
                text: text(task),
                ended: false,
            });
            self.followed.insert(id, Followed { watch, seen });
        }
    }
}

fn text(task: TaskInfo) -> Arc<str> {
    // A number of plain fields, which always is JSON.
    serde_json::to_string(&TaskView::from(task))
        .unwrap_or_default()
        .into()
}
