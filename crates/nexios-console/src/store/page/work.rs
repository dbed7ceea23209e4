//! A piece of work in words and numbers.

use nexios::observe::{WorkId, WorkKind};

use crate::{
    model::{Progress, Sensitive, Work, milliseconds},
    store::{Store, live::Live, moment::Moment},
};

impl Store {
    pub(super) fn work(&self, id: WorkId, live: &Live, now: Moment) -> Work {
        let waits_since = live.waiting.as_ref().map(|wait| wait.since);
        let waited = match waits_since {
            Some(since) => now.since(since),
            None => live.started.unwrap_or(now).since(live.made),
        };
        Work {
            id: id.0,
            parent: live.holder().map(|parent| parent.0),
            link: live.link.map(|link| link.0),
            kind: live.kind,
            name: live.name.to_string(),
            owner: live.owner.as_ref().map(ToString::to_string),
            state: live.state(),
            made_unix_ms: self.clock.unix_ms(live.made),
            age_ms: milliseconds(now.since(live.made)),
            waited_ms: milliseconds(waited),
            waits_since_unix_ms: waits_since.map(|since| self.clock.unix_ms(since)),
            waiting_for: waiting_for(live),
            progress: progress(live),
            attempt: live.attempt,
            reason: live.cancelling.map(|(reason, _)| reason),
            error: live.last_error.as_deref().map(Sensitive::new),
            can_cancel: live.kind == WorkKind::Background,
        }
    }
}

/// What it waits for while it lives.
pub(super) fn waiting_for(live: &Live) -> Option<String> {
    if let Some(wait) = &live.waiting {
        return Some(format!("lazy value \"{}\"", wait.name));
    }
    if live.started.is_some() {
        return None;
    }
    let owner = live.owner.as_deref();
    Some(match live.kind {
        WorkKind::PoolJob => of_owner("a thread", owner),
        WorkKind::Background => running_slot(owner),
        WorkKind::Child | WorkKind::ParallelChild | WorkKind::Daemon | WorkKind::Item => {
            "a place under the limit of its group".to_owned()
        }
        WorkKind::Finalizer => "the others of its group".to_owned(),
        WorkKind::Candidate | WorkKind::Attempt => "its turn".to_owned(),
        _ => "its first poll".to_owned(),
    })
}

/// What a background task waits for.
pub(super) fn running_slot(registry: Option<&str>) -> String {
    of_owner("a running slot", registry)
}

fn of_owner(thing: &str, owner: Option<&str>) -> String {
    match owner {
        Some(owner) => format!("{thing} of \"{owner}\""),
        None => thing.to_owned(),
    }
}

fn progress(live: &Live) -> Option<Progress> {
    let message = live.message.as_deref().map(Sensitive::new);
    let (done, total) = live.progress.unzip();
    (done.is_some() || message.is_some()).then_some(Progress {
        done,
        total,
        message,
    })
}
