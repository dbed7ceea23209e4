//! One request: what became of it, where its time went, and all its work as a waterfall.

mod called;
mod story;
mod time;
mod waterfall;

use maud::{Markup, html};

use super::{parts, region::Region, text, viewer::Viewer};
use crate::model::Request;

pub(crate) fn regions(request: &Request, viewer: Viewer<'_>) -> Vec<Region> {
    let mut regions = vec![facts(request, viewer), time::region(request)];
    regions.extend(waterfall::regions(request));
    regions
}

pub(crate) fn main(request: &Request, viewer: Viewer<'_>) -> Markup {
    let trace = format!(
        "{}api/v1/requests/{}/trace.json",
        viewer.place.base, request.id
    );
    html! {
        h1 { (request.route) }
        (facts(request, viewer))
        h2 { "Where the time went" }
        (time::region(request))
        h2 { "All its work" }
        p.legend { b { "◆" } " on the critical path: the request waited for it " i {} " waiting" }
        @for region in waterfall::regions(request) { (region) }
        p { a href=(trace) download={ "request-" (request.id) ".json" } { "Download for Perfetto" } }
    }
}

fn facts(request: &Request, viewer: Viewer<'_>) -> Region {
    let fact = |label: &str, value: Markup| html! { div { dt { (label) } dd { (value) } } };
    let html = html! {
        section #facts .facts aria-label="What became of it" data-work-id=(request.id) data-kind="request" data-state=(request.state.as_str()) {
            p.story { (parts::state(request.state)) " " (story::of(request)) }
            @if let Some(error) = &request.error { p.error { (error.as_str()) } }
            dl {
                @if let Some(uri) = &request.uri { (fact("asked for", html! { span.uri { (uri.as_str()) } })) }
                @if let Some(status) = request.status {
                    (fact("status", html! { span data-field="status" { (status) } }))
                }
                (fact("took", html! { span data-field="duration" { (text::span(request.duration_ms)) } }))
                @if let Some(reason) = request.reason {
                    (fact("cancelled", html! { span data-field="reason" data-reason=(reason.as_str()) { (parts::reason(reason)) } }))
                }
                @if let Some(cleanup) = request.cleanup_ms { (fact("cleanup", html! { (text::span(cleanup)) })) }
                @if let Some(deadline) = request.deadline_ms { (fact("deadline", html! { (text::span(deadline)) })) }
                @if let Some(bytes) = request.response_bytes {
                    (fact("answer", html! { span data-field="response-bytes" { (text::bytes(bytes)) } }))
                }
                (fact("started", viewer.ago(request.started_unix_ms)))
                @if request.dropped_spans > 0 {
                    (fact("not kept", html! {
                        span data-field="dropped-spans" { (text::count(request.dropped_spans)) } " pieces of work"
                    }))
                }
            }
        }
    };
    Region::whole("facts", html)
}
