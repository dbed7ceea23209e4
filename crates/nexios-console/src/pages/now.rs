//! What the service is at right now, in sentences: on top of the first page, for whoever opens it because something is wrong.

use maud::{Markup, html};

use super::{lints, parts, region::Region, text, viewer::Viewer};
use crate::model::{CancelledRequests, Lazy, LeftOver, Lint, LintKind, Lints, Now, Stay};

/// Lints that are told here.
const MOST_LINTS: usize = 3;

/// `phase` is the service's.
pub(crate) fn region(now: &Now, lints: &Lints, phase: &str, viewer: Viewer<'_>) -> Region {
    let ends = matches!(phase, "draining" | "closing" | "cancelling");
    let ends = ends.then_some(phase);
    // Slow polls are over, and there are many of them wherever there is one.
    let (polls, all): (Vec<&Lint>, Vec<&Lint>) = lints
        .lints
        .iter()
        .partition(|lint| lint.lint == LintKind::SlowPoll);
    let nothing = now.stays.is_empty()
        && now.failing.is_empty()
        && now.cancelled.is_empty()
        && lints.lints.is_empty()
        && ends.is_none();
    let html = html! {
        section #waits .waits aria-label="Right now" {
            @if nothing {
                p { "Nothing waits." }
            } @else {
                ul {
                    @if let Some(phase) = ends { li.wrong { (left_over(now, phase, viewer)) } }
                    @for lint in all.iter().take(MOST_LINTS) { li.wrong { (lints::told(lint, viewer)) } }
                    @if all.len() > MOST_LINTS {
                        li.wrong { a href={ (viewer.place.base) "lints" } { "and " (text::counted(all.len() - MOST_LINTS, "other lint", "other lints")) } }
                    }
                    @for lazy in &now.failing { li { (failing(lazy, viewer)) } }
                    @for stay in &now.stays { li { (self::stay(stay, viewer)) } }
                    @if now.other_stays > 0 {
                        li { (text::counted(now.other_stays, "other thing is", "other things are")) " waited for" }
                    }
                    @for requests in &now.cancelled { li { (cancelled(requests, viewer)) } }
                    @if !polls.is_empty() {
                        li {
                            a href={ (viewer.place.base) "lints" } { (text::counted(polls.len(), "slow poll", "slow polls")) }
                            " in the last minute: others on the same thread had to wait"
                        }
                    }
                }
            }
        }
    };
    Region::whole("waits", html)
}

fn stay(stay: &Stay, viewer: Viewer<'_>) -> Markup {
    let verb = match (stay.waits, stay.count) {
        (true, 1) => " waits for ",
        (true, _) => " wait for ",
        (false, 1) => " is in ",
        (false, _) => " are in ",
    };
    html! {
        b { (text::count(stay.count)) } (verb) em { (stay.what) }
        @if stay.count == 1 { ", for " } @else { ", the oldest for " }
        (viewer.since(stay.oldest_unix_ms))
        @for (index, (route, count)) in stay.routes.iter().enumerate() {
            @if index == 0 { " · " } @else { ", " }
            small { (text::count(*count)) " of " (route) }
        }
    }
}

fn failing(lazy: &Lazy, viewer: Viewer<'_>) -> Markup {
    html! {
        "Lazy value " a href={ (viewer.place.base) "lazies" } { (lazy.name) } " has no new value: "
        @if let Some(error) = &lazy.last_error {
            (parts::state(error.state)) " " (viewer.ago(error.ended_unix_ms)) ", "
        }
        b { (text::count(lazy.failures)) } " of " (text::count(lazy.computations)) " computations"
    }
}

fn cancelled(requests: &CancelledRequests, viewer: Viewer<'_>) -> Markup {
    let CancelledRequests {
        route,
        reason,
        count,
        mean_ms,
    } = requests;
    let cell = [("route", route.as_str()), ("bucket", "cancelled")];
    html! {
        b { (text::count(*count)) } " of "
        a href=(super::address::with(&format!("{}requests", viewer.place.base), &cell)) { (route) }
        @if *count == 1 { " was" } @else { " were" }
        " cancelled in the last minute: " em { (parts::reason(*reason)) }
        ", after " (text::span(*mean_ms)) @if *count > 1 { " on average" }
    }
}

/// What an ending service has to wait for.
fn left_over(now: &Now, phase: &str, viewer: Viewer<'_>) -> Markup {
    let rest = now.other_left;
    html! {
        "The service ends (" em { (phase) } ")"
        @if now.left.is_empty() {
            ", and no observed work is left."
        } @else {
            " and waits for "
            b { (text::counted(now.left.len() + rest, "piece of work", "pieces of work")) } ":"
            ul {
                @for left in &now.left { li { (self::left(left, viewer)) } }
                @if rest > 0 { li { "and " (text::count(rest)) " younger ones" } }
            }
        }
    }
}

fn left(left: &LeftOver, viewer: Viewer<'_>) -> Markup {
    let anchor = format!("{}#work-{}", viewer.place.home, left.id);
    html! {
        a href=(anchor) { (parts::kind(left.kind)) " " em { (left.name) } } " "
        (parts::state(left.state)) " for " (viewer.since(left.made_unix_ms))
    }
}
