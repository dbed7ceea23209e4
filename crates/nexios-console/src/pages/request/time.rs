//! Where the time of a request went: its critical path, by what ran there.

use std::collections::BTreeMap;

use maud::html;
use nexios::observe::WorkKind;

use super::{
    super::{region::Region, text},
    called::{called, waits_for},
};
use crate::model::{Request, Span};

/// Steps that are told one by one.
const MOST: usize = 6;
/// Shorter ones than this part of the whole are told together.
const LEAST: f64 = 200.0;

/// A part of the time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slice {
    pub(super) label: String,
    pub(super) ms: f64,
    /// The work that took it; none for the handler's own code.
    pub(super) work: Option<u64>,
    waits: bool,
    /// When it first came.
    first: f64,
}

/// All of the time until the answer, in the order in which it went.
pub(super) fn slices(request: &Request) -> Vec<Slice> {
    let end = request.duration_ms;
    let path: Vec<&Span> = request.spans.iter().filter(|span| span.critical).collect();
    let depths = depths(&path);
    let mut bounds = vec![0.0, end];
    for span in &path {
        bounds.extend(
            [Some(span.made_ms), span.started_ms, span.ended_ms]
                .into_iter()
                .flatten(),
        );
    }
    bounds.retain(|bound| (0.0..=end).contains(bound));
    bounds.sort_by(f64::total_cmp);
    let mut slices: Vec<Slice> = Vec::new();
    for pair in bounds.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let running = path
            .iter()
            .filter(|span| awaited_from(span) <= from && span.ended_ms.unwrap_or(end) >= to);
        // The innermost says what it was.
        let innermost = running.max_by_key(|span| depths.get(&span.id));
        let waits =
            innermost.is_some_and(|span| span.started_ms.is_none_or(|started| started > from));
        let work = innermost.map(|span| span.id);
        let known = slices
            .iter_mut()
            .find(|slice| slice.work == work && slice.waits == waits);
        match known {
            Some(slice) => slice.ms += to - from,
            None if to > from => {
                let label = innermost.map_or_else(
                    || "the handler itself".to_owned(),
                    |span| label(span, waits),
                );
                slices.push(Slice {
                    label,
                    ms: to - from,
                    work,
                    waits,
                    first: from,
                });
            }
            None => {}
        }
    }
    slices.sort_by(|a, b| a.first.total_cmp(&b.first));
    slices
}

/// A finalizer is made long before it is due.
fn awaited_from(span: &Span) -> f64 {
    match span.kind {
        WorkKind::Finalizer => span.started_ms.unwrap_or(f64::INFINITY),
        _ => span.made_ms,
    }
}

fn label(span: &Span, waits: bool) -> String {
    let name = called(span);
    match waits {
        true if span.kind == WorkKind::Computation => format!("waiting for {name}"),
        true => format!("waiting for {} ({name})", waits_for(span)),
        false => name,
    }
}

fn depths(path: &[&Span]) -> BTreeMap<u64, usize> {
    let mut depths = BTreeMap::new();
    // Children come after their parents.
    for span in path {
        let depth = depths.get(&span.parent).map_or(0, |depth| depth + 1);
        depths.insert(span.id, depth);
    }
    depths
}

pub(super) fn region(request: &Request) -> Region {
    let all = slices(request);
    let total = request.duration_ms.max(f64::MIN_POSITIVE);
    let mut longest: Vec<&Slice> = all.iter().collect();
    longest.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    // What is too short to be seen in the strip is not worth a line either.
    let told = longest
        .iter()
        .take(MOST)
        .take_while(|slice| slice.ms * LEAST > total)
        .count();
    let (longest, shorter) = longest.split_at(told);
    let rest: f64 = shorter.iter().map(|slice| slice.ms).sum();
    let hue = |slice: &Slice| {
        longest
            .iter()
            .position(|other| std::ptr::eq(*other, slice))
            .unwrap_or(MOST)
    };
    let mut end = 0.0;
    let strip = all.iter().map(|slice| {
        let (x, width) = (end, slice.ms / total * 1000.0);
        end += width;
        html! { rect x=(format!("{x:.1}")) width=(format!("{width:.1}")) height="10" class={ "c" (hue(slice)) } {} }
    });
    let html = html! {
        section #time .time aria-label="Where the time went" {
            svg.strip viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
                @for rect in strip { (rect) }
            }
            ol {
                @for (index, slice) in longest.iter().enumerate() {
                    li {
                        svg.swatch viewBox="0 0 10 10" aria-hidden="true" { rect width="10" height="10" class={ "c" (index) } {} }
                        b.num { (text::share(slice.ms, total)) " " }
                        span.num { (text::span(slice.ms)) " " }
                        @if let Some(work) = slice.work { a href={ "#work-" (work) } { (slice.label) } }
                        @else { span { (slice.label) } }
                    }
                }
                @if rest > 0.0 {
                    li {
                        span {}
                        b.num { (text::share(rest, total)) " " }
                        span.num { (text::span(rest)) " " }
                        span { "in shorter steps" }
                    }
                }
            }
        }
    };
    Region::whole("time", html)
}
