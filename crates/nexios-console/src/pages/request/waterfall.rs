//! All work of a request, each as a bar on the same scale.

use std::{collections::BTreeMap, fmt::Write};

use maud::{Markup, html};
use nexios::CancelReason;

use super::{
    super::{
        parts,
        region::{Region, Row},
        text,
    },
    called::waits_for,
};
use crate::model::{Request, Span, State};

/// Steps that parts are set in; deeper ones are set in as far.
const DEEPEST: usize = 8;

/// The scale and the bars: both change while the request runs.
pub(super) fn regions(request: &Request) -> Vec<Region> {
    let ends = request.spans.iter().filter_map(|span| span.ended_ms);
    let scale = Scale {
        whole: ends.fold(request.duration_ms, f64::max).max(0.001),
        now: request.duration_ms,
    };
    let mut depths: BTreeMap<u64, usize> = BTreeMap::new();
    let mut rows = Vec::with_capacity(request.spans.len());
    let mut above: Option<&Span> = None;
    for span in &request.spans {
        let depth = depths.get(&span.parent).map_or(0, |depth| depth + 1);
        depths.insert(span.id, depth);
        let is_below =
            above.is_none_or(|above| above.id == span.parent || above.parent == span.parent);
        // Else the indent points to somebody else.
        let parent = request
            .spans
            .iter()
            .find(|parent| parent.id == span.parent && !is_below);
        let html = bar(span, parent, request, &scale, depth.min(DEEPEST));
        rows.push(Row::new(format!("work-{}", span.id), html));
        above = Some(span);
    }
    if rows.is_empty() {
        let html =
            html! { li #no-spans { (parts::nothing("It has started no work that is observed.")) } };
        rows.push(Row::new("no-spans".to_owned(), html));
    }
    vec![
        axis(request, &scale),
        Region::list("waterfall", OPEN, rows, "</ol>"),
    ]
}

const OPEN: &str = r#"<ol id="waterfall" class="waterfall" aria-label="Waterfall">"#;

/// Where on the bar a time is.
struct Scale {
    whole: f64,
    /// Where what lives is cut off.
    now: f64,
}

impl Scale {
    /// The classes of the style that say where a bar begins and how long it is, in thousandths and digit by digit.
    fn place(&self, from_ms: f64, to_ms: f64) -> String {
        let thousandths = |ms: f64| (ms / self.whole).clamp(0.0, 1.0) * 1000.0;
        let first = (thousandths(from_ms).floor() as usize).min(999);
        let last = (thousandths(to_ms).round() as usize).clamp(first + 1, 1000);
        let mut classes = String::new();
        for (number, [hundreds, tens, ones]) in
            [(first, ["x", "y", "z"]), (last - first, ["l", "m", "n"])]
        {
            let digits = [
                (hundreds, number / 100),
                (tens, number / 10 % 10),
                (ones, number % 10),
            ];
            for (class, digit) in digits.into_iter().filter(|(_, digit)| *digit > 0) {
                // Writing to a string cannot fail.
                let _ = write!(
                    classes,
                    "{}{class}{digit}",
                    if classes.is_empty() { "" } else { " " }
                );
            }
        }
        classes
    }
}

fn axis(request: &Request, scale: &Scale) -> Region {
    let goes_on = scale.whole > request.duration_ms * 1.005 && !request.state.lives();
    let html = html! {
        div #axis .axis aria-hidden="true" {
            .ticks { @for quarter in 0..4 { span { (text::span(scale.whole * f64::from(quarter) / 4.0)) } } span.last { (text::span(scale.whole)) } }
            @if goes_on { .track { b class={ "answer " (scale.place(request.duration_ms, scale.whole)) } { "after the answer" } } }
        }
    };
    Region::whole("axis", html)
}

fn bar(
    span: &Span,
    parent: Option<&Span>,
    request: &Request,
    scale: &Scale,
    depth: usize,
) -> Markup {
    let end = span.ended_ms.unwrap_or(scale.now);
    let started = span.started_ms.unwrap_or(end);
    let reason = span.reason.map(CancelReason::as_str);
    html! {
        li id={ "work-" (span.id) } data-work-id=(span.id) data-kind=(span.kind.as_str()) data-state=(span.state.as_str())
           data-parent=(span.parent) data-reason=[reason] data-critical=[span.critical.then_some("true")] class={ "d" (depth) } {
            .who {
                (parts::named(span.kind, &span.name, span.owner.as_deref()))
                @if let Some(parent) = parent { " " small { "of " (parent.name) } }
            }
            .track aria-hidden="true" {
                @if started > span.made_ms { i class=(scale.place(span.made_ms, started)) {} }
                @if span.started_ms.is_some() { b class=(scale.place(started, end)) {} }
            }
            .said {
                span.num { (text::span(end - span.made_ms)) }
                span.vh { ", from " (text::span(span.made_ms)) " to " (text::span(end)) @if span.critical { ", on the critical path" } ", " }
                " " (parts::state(span.state)) " "
                small { (remarks(span, request, started).join(", ")) }
                @if let Some(error) = &span.error { " " small.error { (error.as_str()) } }
            }
        }
    }
}

/// What else there is to say: who won, why it was cancelled, how long it waited.
fn remarks(span: &Span, request: &Request, started: f64) -> Vec<String> {
    let mut remarks = Vec::new();
    let name = |id: u64| {
        request
            .spans
            .iter()
            .find(|other| other.id == id)
            .map(|other| other.name.as_str())
    };
    if let Some(winner) = span.winner.and_then(name) {
        remarks.push(format!("won by {winner}"));
    }
    if span.state == State::Lost {
        let race = request.spans.iter().find(|race| race.id == span.parent);
        if let Some(winner) = race.and_then(|race| race.winner).and_then(name) {
            remarks.push(format!("to {winner}"));
        }
    }
    if let Some(saved) = span.saved_ms {
        remarks.push(format!("saved {}", text::span(saved)));
    }
    match span.reason {
        Some(CancelReason::SiblingFailed) => remarks.push(match culprit(span, request) {
            Some(sibling) => format!("since {sibling} failed"),
            None => parts::reason(CancelReason::SiblingFailed).to_owned(),
        }),
        Some(reason) => remarks.push(parts::reason(reason).to_owned()),
        None => {}
    }
    let waited = started - span.made_ms;
    if waited >= 0.1
        && (waited > (span.ended_ms.unwrap_or(started) - span.made_ms) * 0.02
            || span.started_ms.is_none())
    {
        let verb = if span.state == State::Waiting {
            "waits"
        } else {
            "waited"
        };
        remarks.push(format!(
            "{verb} {} for {}",
            text::span(waited),
            waits_for(span)
        ));
    }
    if span.after_answer {
        remarks.push("after the answer".to_owned());
    }
    remarks
}

/// The sibling whose failure ended this one.
fn culprit<'a>(span: &Span, request: &'a Request) -> Option<&'a str> {
    let siblings = request
        .spans
        .iter()
        .filter(|other| other.parent == span.parent);
    let mut failed = siblings.filter(|other| {
        matches!(
            other.state,
            State::Failed | State::Panicked | State::TimedOut
        )
    });
    failed.next().map(|sibling| sibling.name.as_str())
}
