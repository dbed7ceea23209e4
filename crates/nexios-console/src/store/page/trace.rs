//! A request's waterfall for Perfetto.

use std::collections::HashMap;

use crate::model::{Request, State, Trace, TraceArguments, TraceEvent};

/// What a bar covers, in microseconds.
struct Bar {
    id: u64,
    parent: Option<u64>,
    from: f64,
    to: f64,
    event: TraceEvent,
}

pub(super) fn trace(request: &Request) -> Trace {
    let now = request.duration_ms + request.cleanup_ms.unwrap_or_default();
    let root = Bar::new(
        request.id,
        None,
        (0.0, now),
        &request.route,
        ("request", request.state),
    );
    let spans = request.spans.iter().map(|span| {
        let times = (
            span.made_ms,
            span.ended_ms.unwrap_or_else(|| now.max(span.made_ms)),
        );
        let mut bar = Bar::new(
            span.id,
            Some(span.parent),
            times,
            &span.name,
            (span.kind.as_str(), span.state),
        );
        bar.event.args.reason = span.reason.map(nexios::CancelReason::as_str);
        bar.event.args.owner.clone_from(&span.owner);
        bar
    });
    let mut bars: Vec<Bar> = std::iter::once(root).chain(spans).collect();
    // Whoever holds others comes before them.
    bars.sort_by(|bar, other| {
        let by_time = bar
            .from
            .total_cmp(&other.from)
            .then(other.to.total_cmp(&bar.to));
        by_time.then(bar.id.cmp(&other.id))
    });
    let mut tracks = Tracks::default();
    for bar in &mut bars {
        bar.event.tid = tracks.place(bar);
    }
    Trace {
        trace_events: bars.into_iter().map(|bar| bar.event).collect(),
        display_time_unit: "ms",
    }
}

impl Bar {
    fn new(
        id: u64,
        parent: Option<u64>,
        times_ms: (f64, f64),
        name: &str,
        (cat, state): (&'static str, State),
    ) -> Self {
        let (from, to) = (times_ms.0 * 1000.0, times_ms.1.max(times_ms.0) * 1000.0);
        let args = TraceArguments {
            id,
            state,
            reason: None,
            owner: None,
        };
        let event = TraceEvent {
            name: name.to_owned(),
            cat,
            ph: "X",
            ts: from,
            dur: to - from,
            pid: 1,
            tid: 0,
            args,
        };
        Self {
            id,
            parent,
            from,
            to,
            event,
        }
    }
}

/// Viewers draw what overlaps on one track as held by what is below it, so only parts of it may be there.
#[derive(Default)]
struct Tracks {
    /// Who is open on each track, the innermost last, and until when.
    open: Vec<Vec<(u64, f64)>>,
    of: HashMap<u64, usize>,
}

impl Tracks {
    /// On its parent's track if the parent is the innermost there, else on the first that is free, else on a new one.
    fn place(&mut self, bar: &Bar) -> u64 {
        for open in &mut self.open {
            while open.last().is_some_and(|(_, end)| *end <= bar.from) {
                open.pop();
            }
        }
        let holds = |&track: &usize| {
            self.open[track]
                .last()
                .is_some_and(|(id, end)| bar.parent == Some(*id) && bar.to <= *end)
        };
        let parents = bar
            .parent
            .and_then(|parent| self.of.get(&parent))
            .copied()
            .filter(holds);
        let track = parents
            .or_else(|| self.open.iter().position(Vec::is_empty))
            .unwrap_or_else(|| {
                self.open.push(Vec::new());
                self.open.len() - 1
            });
        self.open[track].push((bar.id, bar.to));
        self.of.insert(bar.id, track);
        track as u64 + 1
    }
}
