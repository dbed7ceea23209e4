//! Who follows what, and the one who looks for them.

use std::{
    collections::{HashMap, HashSet},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{
    change::{self, Change},
    ring::{Entry, Missed, Ring},
};
use crate::{
    access::Access,
    mount::Place,
    pages::{Region, Source, View, Viewer},
};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// Looks of which one is taken even if nothing was observed: some numbers are of the last minute.
const IDLE_LOOKS: u32 = 4;
/// Clients at a time.
const MOST_CLIENTS: usize = 8;
/// Pages that are remembered for those who may come back.
const MOST_CHANNELS: usize = 64;
/// How long a client may leave an event where it is.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Feed {
    source: Source,
    shared: Mutex<Shared>,
    /// Tells the number of the last event.
    news: watch::Sender<u64>,
    /// A page could not be rendered, and that was logged.
    has_complained: AtomicBool,
}

struct Shared {
    ring: Ring,
    channels: HashMap<Arc<str>, Channel>,
    clients: HashMap<u64, Client>,
    /// The number of the next client.
    next: u64,
    /// Looks at the pages; none while nobody is connected.
    ticker: Option<JoinHandle<()>>,
}

/// A page, and for whom it is.
#[derive(Debug, Clone)]
pub(super) struct Onlooker {
    pub(super) view: View,
    pub(super) place: Place,
    pub(super) access: Access,
    pub(super) acts: bool,
}

/// One page for one kind of viewer, as it was last seen.
struct Channel {
    onlooker: Onlooker,
    shown: Arc<Vec<Region>>,
    /// When it was last looked at, by the ticker or for somebody who came.
    looked: Instant,
}

/// A look that is to be taken at a page, and how it was when it was last seen.
struct Look {
    channel: Arc<str>,
    onlooker: Onlooker,
    shown: Option<Arc<Vec<Region>>>,
}

struct Client {
    channels: Vec<Arc<str>>,
    /// The last event that it has fetched.
    heard: u64,
}

/// A client's place, until this is dropped.
pub(super) struct Subscription {
    feed: Arc<Feed>,
    client: u64,
    /// What it is told before all else, under the number of the last event.
    first: Vec<Change>,
    first_id: u64,
    news: watch::Receiver<u64>,
}

/// What a client finds when it looks.
pub(super) enum Next {
    Event(u64, Arc<Change>),
    Nothing,
    /// It was dropped, as it did not keep up.
    Lost,
}

impl Feed {
    pub(crate) fn new(source: Source) -> Self {
        let ring = Ring::new();
        let news = watch::Sender::new(ring.last());
        let shared = Shared {
            ring,
            channels: HashMap::new(),
            clients: HashMap::new(),
            next: 0,
            ticker: None,
        };
        Self {
            source,
            shared: Mutex::new(shared),
            news,
            has_complained: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing panics under it but for want of memory.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a client that has heard this much before; none if all are taken.
    pub(super) fn subscribe(
        this: &Arc<Self>,
        onlookers: Vec<Onlooker>,
        heard: Option<u64>,
    ) -> Option<Subscription> {
        let (looks, are_known) = {
            let shared = this.lock();
            if shared.clients.len() >= MOST_CLIENTS {
                return None;
            }
            let looks: Vec<Look> = onlookers
                .into_iter()
                .map(|onlooker| shared.look_at(onlooker))
                .collect();
            let are_known = looks.iter().all(|look| look.shown.is_some());
            (looks, are_known)
        };
        let channels: Vec<Arc<str>> = looks.iter().map(|look| look.channel.clone()).collect();
        // What nobody followed has been forgotten or is out of date. Whoever comes again and again looks no more often than
        // the ticker does.
        this.look(looks, Instant::now());

        let mut shared = this.lock();
        if shared.clients.len() >= MOST_CLIENTS {
            return None;
        }
        let last = shared.ring.last();
        let (heard, first) = match heard.map(|heard| (heard, shared.ring.missed(heard))) {
            // The page was fetched a while ago: it is told how all of it looks.
            None => (last, shared.all(&channels)),
            Some((heard, Missed::Kept)) if are_known => (heard, Vec::new()),
            Some((_, Missed::Restarted)) => (last, vec![Change::resync("restarted")]),
            Some(_) => (last, vec![Change::resync("too_old")]),
        };
        let client = shared.next;
        shared.next += 1;
        shared.clients.insert(client, Client { channels, heard });
        shared.forget();
        // One whose runtime has ended counts as none.
        if shared.ticker.as_ref().is_none_or(JoinHandle::is_finished) {
            shared.ticker = Some(tokio::spawn(this.clone().tick()));
        }
        drop(shared);
        Some(Subscription {
            feed: this.clone(),
            client,
            first,
            first_id: heard,
            news: this.news.subscribe(),
        })
    }

    async fn tick(self: Arc<Self>) {
        // Whoever has started it has just looked.
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut seen, mut idle) = (None, 0);
        loop {
            let at = looks.tick().await;
            let Some(followed) = self.followed() else {
                return;
            };
            for look in &followed {
                self.source.ask(&look.onlooker.view);
            }
            let rev = self.source.rev();
            idle = if seen == Some(rev) { idle + 1 } else { 0 };
            if idle % IDLE_LOOKS == 0 {
                // What was not due yet is looked at next time, whether anything happens until then or not.
                seen = self.look(followed, at).then_some(rev);
            }
        }
    }

    /// The channels that somebody follows, after those are dropped who do not keep up; none if nobody is left, and then this
    /// was the last look.
    fn followed(&self) -> Option<Vec<Look>> {
        let mut shared = self.lock();
        let now = Instant::now();
        let Shared { ring, clients, .. } = &mut *shared;
        let before = clients.len();
        clients.retain(|_, client| keeps_up(client, ring, now));
        let lost = clients.len() < before;
        let keys: HashSet<&Arc<str>> = shared
            .clients
            .values()
            .flat_map(|client| &client.channels)
            .collect();
        let channels = keys
            .into_iter()
            .filter_map(|key| Some((key, shared.channels.get(key)?)));
        let looks: Vec<Look> = channels.map(|(key, channel)| channel.look(key)).collect();
        if shared.clients.is_empty() {
            shared.ticker = None;
        }
        let is_over = shared.clients.is_empty();
        drop(shared);
        if lost {
            // So that they find out.
            self.news.send_modify(|_| {});
        }
        (!is_over).then_some(looks)
    }

    /// Looks at those pages that nobody has looked at just before, and tells what has changed; whether these were all.
    fn look(&self, mut looks: Vec<Look>, at: Instant) -> bool {
        let all = looks.len();
        {
            let mut shared = self.lock();
            looks.retain(|look| shared.is_due(&look.channel, at));
        }
        let are_all = looks.len() == all;
        let looked = looks.into_iter().filter_map(|look| {
            let now = self.rendered(&look.onlooker)?;
            let changes = look
                .shown
                .as_ref()
                .map_or_else(Vec::new, |shown| change::between(shown, &now));
            (look.shown.is_none() || !changes.is_empty()).then_some((look, Arc::new(now), changes))
        });
        let looked: Vec<_> = looked.collect();
        if looked.is_empty() {
            return are_all;
        }
        let told = Instant::now();
        let mut shared = self.lock();
        let mut old = Vec::with_capacity(looked.len());
        for (look, now, changes) in looked {
            let Some(channel) = shared.channels.get_mut(&look.channel) else {
                let Look {
                    channel, onlooker, ..
                } = look;
                shared.channels.insert(
                    channel,
                    Channel {
                        onlooker,
                        shown: now,
                        looked: at,
                    },
                );
                continue;
            };
            // Somebody else has looked since, and told.
            if !look
                .shown
                .is_some_and(|shown| Arc::ptr_eq(&shown, &channel.shown))
            {
                continue;
            }
            old.push(mem::replace(&mut channel.shown, now));
            for change in changes {
                shared.ring.push(look.channel.clone(), change, told);
            }
        }
        let last = shared.ring.last();
        drop(shared);
        drop(old);
        self.news.send_replace(last);
        are_all
    }

    /// How a page looks now; none if there is nothing to show any more. A page that cannot be rendered keeps no other one from
    /// being told, and is tried again at the next look.
    fn rendered(&self, onlooker: &Onlooker) -> Option<Vec<Region>> {
        let render = || self.source.regions(&onlooker.view, onlooker.viewer());
        // What is rendered is made of copies, so a panic leaves nothing half done.
        match catch_unwind(AssertUnwindSafe(render)) {
            Ok(regions) => regions,
            Err(payload) => {
                // Relaxed: it guards nothing.
                if !self.has_complained.swap(true, Ordering::Relaxed) {
                    let text = payload.downcast_ref::<String>().map(String::as_str);
                    let panic = text.or_else(|| payload.downcast_ref::<&str>().copied());
                    tracing::error!(target: "nexios::console", page = %onlooker.view.path(), panic, "a page of the console could not be rendered");
                }
                None
            }
        }
    }
}

impl Onlooker {
    fn viewer(&self) -> Viewer<'_> {
        Viewer {
            place: &self.place,
            access: self.access,
            acts: self.acts,
            scripted: true,
        }
    }

    /// Those who see the same share a channel.
    fn key(&self) -> Arc<str> {
        let Self {
            view,
            place,
            access,
            acts,
        } = self;
        format!("{} {} {access:?} {acts}", place.home, view.key()).into()
    }
}

fn keeps_up(client: &Client, ring: &Ring, now: Instant) -> bool {
    let waits_too_long = |entry: &Entry| now.duration_since(entry.at) > PATIENCE;
    ring.has_all_after(client.heard)
        && !ring
            .next(client.heard, &client.channels)
            .is_some_and(waits_too_long)
}

impl Channel {
    fn look(&self, key: &Arc<str>) -> Look {
        Look {
            channel: key.clone(),
            onlooker: self.onlooker.clone(),
            shown: Some(self.shown.clone()),
        }
    }
}

impl Shared {
    fn look_at(&self, onlooker: Onlooker) -> Look {
        let channel = onlooker.key();
        let shown = self
            .channels
            .get(&channel)
            .map(|channel| channel.shown.clone());
        Look {
            channel,
            onlooker,
            shown,
        }
    }

    /// Whether a page is to be looked at, which is its look then: not if the last one was just before.
    fn is_due(&mut self, channel: &Arc<str>, at: Instant) -> bool {
        let Some(channel) = self.channels.get_mut(channel) else {
            return true;
        };
        let is_due = at.saturating_duration_since(channel.looked) >= LOOK;
        if is_due {
            channel.looked = at;
        }
        is_due
    }

    /// How everything looks that these channels show.
    fn all(&self, channels: &[Arc<str>]) -> Vec<Change> {
        let channels = channels.iter().filter_map(|key| self.channels.get(key));
        channels
            .flat_map(|channel| channel.shown.iter().map(Change::whole))
            .collect()
    }

    /// Lets the pages go that nobody has looked at for the longest time.
    fn forget(&mut self) {
        while self.channels.len() > MOST_CHANNELS {
            let is_followed = |key: &Arc<str>| {
                self.clients
                    .values()
                    .any(|client| client.channels.contains(key))
            };
            let idle = self.channels.iter().filter(|(key, _)| !is_followed(key));
            let Some(oldest) = idle
                .min_by_key(|(_, channel)| channel.looked)
                .map(|(key, _)| key.clone())
            else {
                return;
            };
            self.channels.remove(&oldest);
        }
    }
}

impl Subscription {
    /// What it is told first, with the number that stands for all before.
    pub(super) fn take_first(&mut self) -> (u64, Vec<Change>) {
        (self.first_id, mem::take(&mut self.first))
    }

    pub(super) fn next(&mut self) -> Next {
        // What comes from now on wakes it.
        self.news.borrow_and_update();
        let mut shared = self.feed.lock();
        let Shared { ring, clients, .. } = &mut *shared;
        let Some(client) = clients.get_mut(&self.client) else {
            return Next::Lost;
        };
        if !ring.has_all_after(client.heard) {
            return Next::Lost;
        }
        match ring.next(client.heard, &client.channels) {
            Some(entry) => {
                client.heard = entry.id;
                Next::Event(entry.id, entry.change.clone())
            }
            None => {
                client.heard = ring.last();
                Next::Nothing
            }
        }
    }

    pub(super) async fn news(&mut self) {
        // The sender is the feed's, and this holds the feed.
        let _ = self.news.changed().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let client = self.feed.lock().clients.remove(&self.client);
        drop(client);
    }
}

#[cfg(test)]
mod tests;
