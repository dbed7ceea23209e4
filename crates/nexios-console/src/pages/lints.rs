//! What is wrong right now, in plain words.

use maud::{Markup, html};

use super::{
    parts,
    region::{Region, Row, digest},
    viewer::Viewer,
};
use crate::{
    model::{Lint, LintKind, Lints},
    mount::Place,
};

pub(crate) fn regions(lints: &Lints, viewer: Viewer<'_>) -> Vec<Region> {
    vec![list(lints, viewer)]
}

pub(crate) fn main(lints: &Lints, viewer: Viewer<'_>) -> Markup {
    html! {
        h1 { "Lints" }
        (list(lints, viewer))
        details.about {
            summary { "What is looked for" }
            dl {
                @for (kind, what) in LOOKED_FOR { dt { (title(kind)) } dd { (what) } }
            }
        }
    }
}

const LOOKED_FOR: [(LintKind, &str); 5] = [
    (
        LintKind::DeadlinePassed,
        "A group that lives on past its deadline.",
    ),
    (
        LintKind::IgnoresCancel,
        "A task that was told to stop and goes on.",
    ),
    (
        LintKind::SlowPoll,
        "A poll that took over 100 ms, so that others on its thread had to wait.",
    ),
    (
        LintKind::QueueTooLong,
        "A queue that is twice as long as its pool has threads, for 10 s.",
    ),
    (
        LintKind::RecomputesTooOften,
        "A lazy value that is computed more often than it is read.",
    ),
];

fn list(lints: &Lints, viewer: Viewer<'_>) -> Region {
    let mut rows: Vec<Row> = lints.lints.iter().map(|lint| row(lint, viewer)).collect();
    if rows.is_empty() {
        let html = html! { li #no-lints { (parts::nothing("Nothing is wrong that can be seen from here.")) } };
        rows.push(Row::new("no-lints".to_owned(), html));
    }
    Region::list("lints", r#"<ul id="lints" class="lints">"#, rows, "</ul>")
}

fn row(lint: &Lint, viewer: Viewer<'_>) -> Row {
    let id = format!("lint-{:x}", digest(&(lint.lint, lint.work, &lint.owner)));
    let html = html! {
        li id=(id) data-lint=(lint.lint.as_str()) data-work-id=[lint.work] {
            p { b { (title(lint.lint)) } " " small { (when(lint, viewer)) } }
            p { (lint.text) }
            @if let Some(place) = place(lint, viewer) { p { a href=(place.0) { (place.1) } } }
        }
    };
    Row::new(id, html)
}

/// A poll is over when it is seen.
fn when(lint: &Lint, viewer: Viewer<'_>) -> Markup {
    match lint.lint {
        LintKind::SlowPoll => viewer.ago(lint.since_unix_ms),
        _ => html! { "for " (viewer.since(lint.since_unix_ms)) },
    }
}

/// In one line, with a link to more.
pub(super) fn told(lint: &Lint, viewer: Viewer<'_>) -> Markup {
    html! {
        @match place(lint, viewer) {
            Some((place, _)) => a href=(place) { (title(lint.lint)) },
            None => b { (title(lint.lint)) },
        }
        ", " (when(lint, viewer)) ": " (lint.text)
    }
}

fn title(kind: LintKind) -> &'static str {
    match kind {
        LintKind::DeadlinePassed => "Deadline passed",
        LintKind::IgnoresCancel => "Ignores its cancel",
        LintKind::SlowPoll => "Slow poll",
        LintKind::QueueTooLong => "Queue too long",
        LintKind::RecomputesTooOften => "Recomputes too often",
    }
}

/// The page that shows more.
fn place(lint: &Lint, viewer: Viewer<'_>) -> Option<(String, &'static str)> {
    let Place { base, home } = viewer.place;
    if let Some(request) = lint.request {
        let work = lint.work.filter(|work| *work != request);
        let work = work.map_or(String::new(), |work| format!("#work-{work}"));
        return Some((format!("{base}requests/{request}{work}"), "To the request"));
    }
    match lint.lint {
        LintKind::DeadlinePassed => Some((home.clone(), "To the live work")),
        LintKind::IgnoresCancel => Some((
            format!("{home}?state=cancelling"),
            "To what is being cancelled",
        )),
        LintKind::QueueTooLong => Some((format!("{base}pools"), "To the pools")),
        LintKind::RecomputesTooOften => Some((format!("{base}lazies"), "To the lazy values")),
        LintKind::SlowPoll => None,
    }
}
