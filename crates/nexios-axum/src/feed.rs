//! What happens to the members of a list, such as the tasks of a registry, told to all who watch by one watcher.
//!
//! # Invariants
//!
//! 1. There is a watcher while there is a subscriber; it ends, under the lock, when it finds none.
//! 2. A subscriber that was shown a live member is told its end. What it was not shown it need not be told: a member that
//!    came and went meanwhile is left out.
//! 3. What a subscriber has not fetched yet is kept once for each member, its latest state alone. So a client that does
//!    not read costs as much as there are members that it was shown or that live now.
//! 4. Nobody is woken, and nothing of others is dropped, under the lock.

mod events;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::task::JoinHandle;

pub(crate) use events::events;

/// What is watched.
pub(crate) trait Watched: Send + Sync + Sized + 'static {
    /// Tells the members apart.
    type Id: Copy + Ord + Hash + Send + Sync + 'static;

    /// What an event is called.
    const EVENT: &'static str;

    /// What a client is told that is one too many.
    const FULL: &'static str;

    /// Looks, and [publishes](Feed::publish) what has changed, until nobody wants to know any more.
    fn watch(feed: Arc<Feed<Self>>) -> impl Future<Output = ()> + Send + 'static;
}

/// The number of a subscriber in its feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Subscriber(u64);

pub(crate) struct Feed<W: Watched> {
    pub(crate) watched: W,
    /// Most subscribers at a time.
    limit: usize,
    subscribers: Mutex<Subscribers<W::Id>>,
}

struct Subscribers<Id> {
    /// What each subscriber has not fetched yet.
    mailboxes: HashMap<Subscriber, Mailbox<Id>>,
    /// The number of the next subscriber.
    next: u64,
    /// The live members as they were last seen, for those who come later.
    live: BTreeMap<Id, Arc<str>>,
    /// Looks at the members; none if nobody watches.
    watcher: Option<JoinHandle<()>>,
}

/// One subscriber.
struct Mailbox<Id> {
    /// The live members that it was shown.
    shown: HashSet<Id>,
    /// What it has to be told, by member.
    news: BTreeMap<Id, News<Id>>,
    /// The member that it was told of last: the next one has its turn, so that nobody's progress hides another's end.
    last: Option<Id>,
    /// Wakes it for news.
    waker: Option<Waker>,
}

/// How a member looks now.
#[derive(Clone)]
pub(crate) struct News<Id> {
    pub(crate) id: Id,
    pub(crate) text: Arc<str>,
    /// The last that is told of it.
    pub(crate) ended: bool,
}

impl<W: Watched> Feed<W> {
    pub(crate) fn new(watched: W, limit: usize) -> Self {
        let subscribers = Subscribers {
            mailboxes: HashMap::new(),
            next: 0,
            live: BTreeMap::new(),
            watcher: None,
        };
        Feed {
            watched,
            limit,
            subscribers: Mutex::new(subscribers),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Subscribers<W::Id>> {
        // Plain data; a poisoned one is still whole.
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a subscriber, who is told of all live members first; none if there are as many as may be.
    fn subscribe(self: &Arc<Self>) -> Option<Subscriber> {
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
            subscribers.watcher = Some(tokio::spawn(W::watch(self.clone())));
        }
        // The watcher tells only changes, so whoever comes later is given what was told before.
        let told = subscribers.live.iter().map(|(&id, text)| {
            let text = text.clone();
            let ended = false;
            (id, News { id, text, ended })
        });
        let mailbox = Mailbox {
            shown: HashSet::new(),
            news: told.collect(),
            last: None,
            waker: None,
        };
        let subscriber = Subscriber(subscribers.next);
        subscribers.next += 1;
        subscribers.mailboxes.insert(subscriber, mailbox);
        Some(subscriber)
    }

    fn unsubscribe(&self, subscriber: Subscriber) {
        let mailbox = self.lock().mailboxes.remove(&subscriber);
        drop(mailbox);
    }

    /// The next that a subscriber is told.
    fn poll_next(&self, subscriber: Subscriber, cx: &mut Context<'_>) -> Poll<Arc<str>> {
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
    pub(crate) fn publish(&self, changes: Vec<News<W::Id>>) -> bool {
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

impl<Id: Copy + Ord + Hash> Mailbox<Id> {
    fn put(&mut self, news: &News<Id>) {
        // An end of what it never saw is no news to it, and takes back what it has not fetched.
        if news.ended && !self.shown.contains(&news.id) {
            self.news.remove(&news.id);
        } else {
            self.news.insert(news.id, news.clone());
        }
    }

    fn take(&mut self) -> Option<News<Id>> {
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
