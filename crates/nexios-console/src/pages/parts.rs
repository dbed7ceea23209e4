//! What several pages show alike.

use std::collections::BTreeSet;

use maud::{Markup, Render, html};
use nexios::{CancelReason, observe::WorkKind};

use super::{text, viewer::Viewer};
use crate::model::{Progress, State, Work};

/// The word for a state, with a sign that the style draws.
pub(crate) fn state(state: State) -> Markup {
    html! { span.state data-s=(state.as_str()) { (words(state.as_str())) } }
}

/// A word of the JSON in plain English.
pub(crate) fn words(word: &str) -> String {
    word.replace('_', " ")
}

/// What a kind of work is called beside its name.
pub(crate) fn kind(kind: WorkKind) -> String {
    words(kind.as_str())
}

/// Why something was cancelled, to read after a colon.
pub(crate) fn reason(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::Requested => "somebody asked for it",
        CancelReason::SiblingFailed => "a sibling failed",
        CancelReason::OwnerDropped => "its owner was dropped",
        CancelReason::Deadline => "the deadline was reached",
        CancelReason::ClientDisconnected => "the client left",
        CancelReason::Shutdown => "the service shuts down",
        CancelReason::Finished => "it was not needed any more",
        _ => "for another reason",
    }
}

/// A bar with its share and what was said last.
pub(crate) fn progress(name: &str, progress: &Progress) -> Markup {
    let message = progress.message.as_ref().map(|message| message.as_str());
    html! {
        @if let (Some(done), Some(total)) = (progress.done, progress.total) {
            progress value=(done.min(total)) max=(total.max(1)) aria-label={ "Progress of " (name) } {}
            " " span.num { (text::share(done as f64, total as f64)) }
            " " small { (text::count(done)) " of " (text::count(total)) }
        } @else if let Some(done) = progress.done {
            span.num { (text::count(done)) }
        }
        @if let Some(message) = message { " " small.message { (message) } }
    }
}

/// A form that has to be opened first.
pub(crate) fn action(
    viewer: Viewer<'_>,
    verb: &str,
    path: &str,
    id: impl Render,
    name: &str,
    asks: &str,
) -> Markup {
    html! {
        details.action {
            summary { (verb) span.vh { " " (name) } }
            form method="post" action={ (viewer.place.base) "actions/" (path) "/" (id) } {
                p { (asks) }
                button { (verb) " " (name) }
            }
        }
    }
}

pub(crate) fn cancel(viewer: Viewer<'_>, work: &Work) -> Markup {
    html! {
        @if viewer.acts && work.can_cancel && work.state != State::Cancelling {
            (action(viewer, "Cancel", "cancel", work.id, &work.name, "It is told to stop, and may clean up first."))
        }
    }
}

/// The name of work, and whose it is, where that says more than the kind does.
pub(crate) fn named(kind_of: WorkKind, name: &str, owner: Option<&str>) -> Markup {
    html! {
        span.name { (name) }
        " " span.kind { (kind(kind_of)) }
        @if let Some(owner) = owner.filter(|owner| *owner != name && *owner != kind_of.as_str()) { " " span.owner { (owner) } }
    }
}

/// Names that several things have: they are told apart by their numbers.
pub(crate) fn twins<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| !seen.insert(*name)).collect()
}

/// Instead of an empty table.
pub(crate) fn nothing(what: &str) -> Markup {
    html! { p.nothing { (what) } }
}
