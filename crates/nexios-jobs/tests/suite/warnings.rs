//! What the process has warned of.

use std::{
    fmt,
    sync::{Mutex, OnceLock},
};

use nexios_jobs::JobId;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// The warnings of this process, as their fields.
struct Warnings;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.is_event()
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LINES.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

/// From now on warnings are kept.
pub(crate) fn listen() {
    static LISTENS: OnceLock<()> = OnceLock::new();
    LISTENS.get_or_init(|| tracing::subscriber::set_global_default(Warnings).unwrap());
}

/// The lines that say so of a job. Two stores may give the same number, so the kind should be of one test alone.
pub(crate) fn of(id: JobId, kind: &str, said: &str) -> Vec<String> {
    let lines = LINES.lock().unwrap();
    let wanted = [
        said.to_owned(),
        format!("kind={kind:?} "),
        format!("id={id} "),
    ];
    let is_of_it = |line: &&String| wanted.iter().all(|wanted| line.contains(wanted));
    lines.iter().filter(is_of_it).cloned().collect()
}
