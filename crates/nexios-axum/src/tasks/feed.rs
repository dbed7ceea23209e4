//! What happens to the tasks of a registry, told to all who watch by one watcher.
//!
//! # Invariants
//!
//! 1. There is a watcher while there is a subscriber; it ends, under the lock, when it finds none.
//! 2. A subscriber that was shown a live task is told its end. What it was not shown it need not be told: a task that
//!    came and went meanwhile is left out.
//! 3. What a subscriber has not fetched yet is kept once for each task, its latest state alone. So a client that does
//!    not read costs as much as there are tasks that it was shown or that live now.
//! 4. Nobody is woken, and nothing of others is dropped, under the lock.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use nexios::{Background, CancelReason, TaskId, TaskInfo, TaskState, TaskWatch};
use tokio::task::JoinHandle;

use super::view::TaskView;

/// How often the tasks are looked at: often enough for a progress bar, and a task may report far more often.
const LOOK: Duration = Duration::from_millis(250);

/// The number of a subscriber in its feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Subscriber(u64);

pub(super) struct Feed {
    background: Background,
    /// Most subscribers at a time.
    limit: usize,
    subscribers: Mutex<Subscribers>,
}

#[derive(Default)]
struct Subscribers {
    /// What each subscriber has not fetched yet.
    mailboxes: HashMap<Subscriber, Mailbox>,
    /// The number of the next subscriber.
    next: u64,
    /// The live tasks as they were last seen, for those who come later.
    live: BTreeMap<TaskId, Arc<str>>,
    /// Looks at the tasks; none if nobody watches.
    watcher: Option<JoinHandle<()>>,
}

/// One subscriber.
#[derive(Default)]
struct Mailbox {
    /// The live tasks that it was shown.
    shown: HashSet<TaskId>,
    /// What it has to be told, by task.
    news: BTreeMap<TaskId, News>,
    /// The task that it was told of last: the next one has its turn, so that nobody's progress hides another's end.
    last: Option<TaskId>,
    /// Wakes it for news.
    waker: Option<Waker>,
}

#[derive(Clone)]
struct News {
    id: TaskId,
    text: Arc<str>,
    ended: bool,
}

impl Feed {
    pub(super) fn new(background: Background, limit: usize) -> Self {
        Feed {
            background,
            limit,
            subscribers: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Subscribers> {
        // Plain data; a poisoned one is still whole.
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a subscriber, who is told of all live tasks first; none if there are as many as may be.
    pub(super) fn subscribe(self: &Arc<Self>) -> Option<Subscriber> {
        let mut subscribers = self.lock();
        if subscribers.mailboxes.len() >= self.limit {
            return None;
        }
        // One whose runtime has ended counts as none. Begun under the lock, so that it cannot find this subscriber missing
        // and end at its first look.
        if subscribers
            .watcher
            .as_ref()
            .is_none_or(JoinHandle::is_finished)
        {
            subscribers.live.clear();
            subscribers.watcher = Some(tokio::spawn(Watcher::new(self.clone()).run()));
        }
        // The watcher tells only changes, so whoever comes later is given what was told before.
        let mut mailbox = Mailbox::default();
        for (&id, text) in &subscribers.live {
            mailbox.news.insert(
                id,
                News {
                    id,
                    text: text.clone(),
                    ended: false,
                },
            );
        }
        let subscriber = Subscriber(subscribers.next);
        subscribers.next += 1;
        subscribers.mailboxes.insert(subscriber, mailbox);
        Some(subscriber)
    }

    pub(super) fn unsubscribe(&self, subscriber: Subscriber) {
        let mailbox = self.lock().mailboxes.remove(&subscriber);
        drop(mailbox);
    }

    /// The next that a subscriber is told.
    pub(super) fn poll_next(&self, subscriber: Subscriber, cx: &mut Context<'_>) -> Poll<Arc<str>> {
        let mut subscribers = self.lock();
        let Some(mailbox) = subscribers.mailboxes.get_mut(&subscriber) else {
            return Poll::Pending;
        };
        if let Some(news) = mailbox.take() {
            return Poll::Ready(news.text);
        }
        // Registered under the lock in which there was no news: the next `publish` finds it.
        let old = mailbox.waker.replace(cx.waker().clone());
        drop(subscribers);
        drop(old);
        Poll::Pending
    }

    /// Tells everybody; false if there is nobody left, and then this was the watcher's last look.
    fn publish(&self, changes: Vec<News>) -> bool {
        let mut subscribers = self.lock();
        if subscribers.mailboxes.is_empty() {
            (subscribers.watcher, subscribers.live) = (None, BTreeMap::new());
            return false;
        }
        let mut woken = Vec::new();
        for news in &changes {
            match news.ended {
                true => subscribers.live.remove(&news.id),
                false => subscribers.live.insert(news.id, news.text.clone()),
            };
        }
        for mailbox in subscribers.mailboxes.values_mut() {
            for news in &changes {
                mailbox.put(news);
            }
            if !mailbox.news.is_empty() {
                woken.extend(mailbox.waker.take());
            }
        }
        drop(subscribers);
        for waker in woken {
            waker.wake();
        }
        true
    }
}

impl Mailbox {
    fn put(&mut self, news: &News) {
        // An end of what it never saw is no news to it, and takes back what it has not fetched.
        if news.ended && !self.shown.contains(&news.id) {
            self.news.remove(&news.id);
        } else {
            self.news.insert(news.id, news.clone());
        }
    }

    fn take(&mut self) -> Option<News> {
        let later = (
            self.last.map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Unbounded,
        );
        let next = self
            .news
            .range(later)
            .next()
            .or_else(|| self.news.first_key_value());
        let id = *next?.0;
        let news = self.news.remove(&id)?;
        self.last = Some(id);
        match news.ended {
            true => self.shown.remove(&id),
            false => self.shown.insert(id),
        };
        Some(news)
    }
}

/// Looks at the tasks, for all who watch.
struct Watcher {
    feed: Arc<Feed>,
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
    fn new(feed: Arc<Feed>) -> Self {
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
        let stats = self.feed.background.stats();
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
    fn find_new(&mut self, changes: &mut Vec<News>) {
        for task in self.feed.background.list() {
            if task.state.is_final() || self.followed.contains_key(&task.id) {
                continue;
            }
            // Ended and forgotten since: it has shown itself to nobody.
            let Some(watch) = self.feed.background.watch(task.id) else {
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
