//! The grid of routes and buckets, and what one of its cells keeps.

use maud::{Markup, html};

use super::{
    address, parts,
    region::{Region, Row, digest},
    text,
    viewer::Viewer,
};
use crate::model::{Bucket, Requests, Route, Sample, Samples};

/// A cell of the grid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell<'a> {
    pub(crate) route: &'a str,
    pub(crate) bucket: Bucket,
}

pub(crate) fn grid_regions(requests: &Requests) -> Vec<Region> {
    vec![Region::table_body("routes", routes(requests))]
}

pub(crate) fn cell_regions(samples: &Samples, viewer: Viewer<'_>) -> Vec<Region> {
    vec![Region::table_body(
        "samples",
        self::samples(samples, viewer),
    )]
}

pub(crate) fn grid(requests: &Requests) -> Markup {
    html! {
        h1 { "Requests" }
        p.about { "Each cell keeps its last ten requests, in a rush one a second: the slow and the failed ones are always there, whatever the traffic." }
        .wide tabindex="0" role="region" aria-label="Requests by route and time" {
            table.grid {
                caption.vh { "Kept requests by route and by how long they took" }
                thead {
                    tr {
                        th scope="col" { "Route" }
                        th scope="col" { "running" }
                        @for bucket in requests.buckets { th scope="col" { (title(bucket)) } }
                        th scope="col" { "all" }
                    }
                }
                (Region::table_body("routes", routes(requests)))
            }
        }
    }
}

pub(crate) fn cell(cell: Cell<'_>, samples: &Samples, viewer: Viewer<'_>) -> Markup {
    html! {
        h1 { "Requests" }
        p.about {
            a href="requests" { "All routes" } " › " b { (cell.route) } " › " b { (title(cell.bucket)) }
        }
        table.samples {
            caption.vh { "Kept requests, newest first" }
            thead {
                tr {
                    th scope="col" { "Started" }
                    th scope="col" { "Took" }
                    th scope="col" { "Status" }
                    th scope="col" { "State" }
                }
            }
            (Region::table_body("samples", self::samples(samples, viewer)))
        }
    }
}

fn routes(requests: &Requests) -> Vec<Row> {
    if requests.routes.is_empty() {
        let html = html! { tr #no-routes { td colspan="13" { (parts::nothing("No request has come yet.")) } } };
        return vec![Row::new("no-routes".to_owned(), html)];
    }
    let rows = requests.routes.iter().map(|route| {
        let id = format!("route-{:x}", digest(route.route.as_str()));
        let html = self::route(route, requests, &id);
        Row::new(id, html)
    });
    rows.collect()
}

fn route(route: &Route, requests: &Requests, id: &str) -> Markup {
    html! {
        tr id=(id) data-route=(route.route) {
            th scope="row" { (route.route) }
            td data-bucket="running" .on[route.running > 0] { (number(route.running)) }
            @for bucket in requests.buckets {
                @let kept = route.counts[bucket];
                td data-bucket=(bucket.as_str()) class={ "h" (heat(kept)) } {
                    @if kept > 0 {
                        a href=(address::with("requests", &[("route", &route.route), ("bucket", bucket.as_str())]))
                          aria-label={ (kept) " kept: " (route.route) ", " (title(bucket)) } { (kept) }
                    } @else { "·" }
                }
            }
            td.num { (text::count(route.total)) }
        }
    }
}

fn number(count: usize) -> String {
    if count > 0 {
        text::count(count)
    } else {
        "·".to_owned()
    }
}

fn heat(kept: usize) -> usize {
    kept.div_ceil(3).min(4)
}

fn samples(samples: &Samples, viewer: Viewer<'_>) -> Vec<Row> {
    if samples.samples.is_empty() {
        let html = html! { tr #no-samples { td colspan="4" { (parts::nothing("Nothing is kept here.")) } } };
        return vec![Row::new("no-samples".to_owned(), html)];
    }
    let rows = samples.samples.iter();
    rows.map(|sample| Row::new(format!("work-{}", sample.id), self::sample(sample, viewer)))
        .collect()
}

fn sample(sample: &Sample, viewer: Viewer<'_>) -> Markup {
    let id = sample.id;
    html! {
        tr id={ "work-" (id) } data-work-id=(id) data-kind="request" data-state=(sample.state.as_str()) {
            th scope="row" { a href={ "requests/" (id) } { (viewer.ago(sample.started_unix_ms)) } }
            td.num { (text::span(sample.duration_ms)) }
            td.num { (sample.status.map_or_else(|| "–".to_owned(), |status| status.to_string())) }
            td {
                (parts::state(sample.state))
                @if let Some(reason) = sample.reason { " " small { (parts::reason(reason)) } }
            }
        }
    }
}

pub(super) fn title(bucket: Bucket) -> &'static str {
    match bucket {
        Bucket::Lt10ms => "<10 ms",
        Bucket::Lt50ms => "<50 ms",
        Bucket::Lt100ms => "<100 ms",
        Bucket::Lt250ms => "<250 ms",
        Bucket::Lt500ms => "<500 ms",
        Bucket::Lt1s => "<1 s",
        Bucket::Lt5s => "<5 s",
        Bucket::Ge5s => "≥5 s",
        Bucket::Failed => "failed",
        Bucket::Cancelled => "cancelled",
    }
}
