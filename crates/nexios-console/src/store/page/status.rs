//! The header of every page.

use std::sync::atomic::Ordering;

use nexios::observe::WorkKind;

use super::running::is_disregarded;
use crate::{
    model::{Answer, Status, milliseconds},
    store::{Store, moment::Moment},
};

impl Store {
    pub(crate) fn status(&self, service: &str, phase: &'static str) -> Answer<Status> {
        let rev = self.rev();
        let now = self.clock.now();
        let minute = self.minute.numbers(now);
        let mut in_flight = 0;
        self.lives.each(|_, live| {
            in_flight += usize::from(live.kind == WorkKind::Request && !is_disregarded(live));
        });
        let content = Status {
            service: service.to_owned(),
            phase,
            uptime_ms: milliseconds(now.since(Moment::FIRST)),
            in_flight,
            p50_ms: minute.p50.map(milliseconds),
            p99_ms: minute.p99.map(milliseconds),
            cancelled_per_minute: minute.cancelled,
            shed_per_minute: minute.shed,
            lints: self.lints().content.lints.len(),
            // Relaxed: statistics.
            observed: self.observed.load(Ordering::Relaxed),
            dropped_spans: self.dropped.load(Ordering::Relaxed),
        };
        Answer::new(rev, content)
    }
}
