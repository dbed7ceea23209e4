//! What the log says, for tests of any utility.

// The lint's own exception for tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

use std::{
    fmt::{Debug, Write},
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Collects every event at WARN or above, as "LEVEL name: message", with the name of the task or lazy value.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

#[derive(Default)]
struct Text {
    message: String,
    name: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            write!(self.message, "{value:?}").unwrap();
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if ["task", "lazy"].contains(&field.name()) {
            self.name.push_str(value);
        }
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("nexios")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        if *event.metadata().level() <= tracing::Level::WARN {
            let mut text = Text::default();
            event.record(&mut text);
            let line = format!(
                "{} {}: {}",
                event.metadata().level(),
                text.name,
                text.message
            );
            self.0.lock().unwrap().push(line);
        }
    }
}

impl Lines {
    pub(crate) fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        /// With a single dispatcher alive, tracing asks only the current thread's whether a callsite is of
        /// interest, and remembers a "no" from the thread of another test; with several it asks them all.
        static KEPT: LazyLock<[tracing::Dispatch; 2]> =
            LazyLock::new(|| [(); 2].map(|()| tracing::Dispatch::new(Lines::default())));
        LazyLock::force(&KEPT);
        let lines = Self::default();
        (lines.clone(), tracing::subscriber::set_default(lines))
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}
