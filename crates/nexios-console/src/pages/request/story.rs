//! What became of a request, in a sentence or two.

use nexios::observe::WorkKind;

use super::{
    called::{called, waits_for},
    parts, text,
};
use crate::model::{Request, Span, State};

/// Live pieces of work that are named.
const MOST_LIVE: usize = 3;

pub(super) fn of(request: &Request) -> String {
    let took = text::span(request.duration_ms);
    let mut story = match (request.state, request.status) {
        (State::Waiting | State::Running, _) => return format!("So far {took}. {}", now(request)),
        (State::Cancelling, _) => {
            format!(
                "Cancelled after {took}{}, and still cleaning up. {}",
                why(request),
                now(request)
            )
        }
        (State::Cancelled, _) => format!("Cancelled after {took}{}.", why(request)),
        (State::TimedOut, _) => format!("Cut off by its deadline after {took}."),
        (State::Panicked, _) => format!("Panicked after {took}."),
        (State::Failed, Some(status)) => format!("Answered {status} after {took}."),
        (State::Failed, None) => format!("Failed after {took}."),
        (_, Some(status)) => format!("Answered {status} after {took}."),
        _ => format!("Done after {took}."),
    };
    if let Some(cleanup) = request.cleanup_ms.filter(|_| !request.state.lives()) {
        story += &format!(" Cleaning up took {}.", text::span(cleanup));
    }
    if let Some(slowest) = slowest(request) {
        story += &slowest;
    }
    story
}

fn why(request: &Request) -> String {
    request
        .reason
        .map_or_else(String::new, |reason| format!(": {}", parts::reason(reason)))
}

/// What it does and waits for at this moment: live work that has no live part itself.
fn now(request: &Request) -> String {
    let live = request.spans.iter().filter(|span| span.state.lives());
    let leaves: Vec<&Span> = live.filter(|span| is_leaf(span, request)).collect();
    let mut said: Vec<String> = leaves
        .iter()
        .take(MOST_LIVE)
        .map(|span| doing(span, request))
        .collect();
    if leaves.len() > MOST_LIVE {
        said.push(format!("{} more", leaves.len() - MOST_LIVE));
    }
    match said.is_empty() {
        true => "Right now its handler runs.".to_owned(),
        false => format!("Right now: {}.", said.join("; ")),
    }
}

fn is_leaf(span: &Span, request: &Request) -> bool {
    !request
        .spans
        .iter()
        .any(|other| other.parent == span.id && other.state.lives())
}

fn doing(span: &Span, request: &Request) -> String {
    let since = text::age(request.duration_ms - span.started_ms.unwrap_or(span.made_ms));
    let name = called(span);
    match span.state {
        State::Waiting if span.kind == WorkKind::Computation => {
            format!("it waits for {name}, {since} by now")
        }
        State::Waiting => format!("{name} waits for {}, {since} by now", waits_for(span)),
        State::Cancelling => format!("{name} cleans up"),
        _ => format!("{name} runs for {since}"),
    }
}

/// The step that most of the time went to, if one stands out.
fn slowest(request: &Request) -> Option<String> {
    let slices = super::time::slices(request);
    let slowest = slices.iter().max_by(|a, b| a.ms.total_cmp(&b.ms))?;
    let is_work = slowest.work.is_some() && slowest.ms * 3.0 > request.duration_ms;
    let share = text::share(slowest.ms, request.duration_ms);
    is_work.then(|| format!(" {share} of it was {}.", slowest.label))
}
