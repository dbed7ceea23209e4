//! The lazy values: what is there, how old, and what it cost.

use maud::{Markup, html};

use super::{
    parts,
    region::{Region, Row},
    text,
    viewer::Viewer,
};
use crate::model::{Lazies, Lazy};

pub(crate) fn regions(lazies: &Lazies, viewer: Viewer<'_>) -> Vec<Region> {
    vec![Region::table_body("lazies", rows(lazies, viewer))]
}

pub(crate) fn main(lazies: &Lazies, viewer: Viewer<'_>) -> Markup {
    html! {
        h1 { "Lazy values" }
        table.lazies {
            caption.vh { "Lazy values" }
            thead {
                tr {
                    th scope="col" { "Value" }
                    th scope="col" { "State" }
                    th scope="col" { "Age" }
                    th scope="col" { "Fresh for" }
                    th scope="col" { "Hits" }
                    th scope="col" { "Waited" }
                    th scope="col" { "Misses" }
                    th scope="col" { "Served stale" }
                    th scope="col" { "Computed" }
                    th scope="col" { "Last error" }
                    th scope="col" { span.vh { "Actions" } }
                }
            }
            (Region::table_body("lazies", rows(lazies, viewer)))
        }
    }
}

fn rows(lazies: &Lazies, viewer: Viewer<'_>) -> Vec<Row> {
    if lazies.lazies.is_empty() {
        let html = html! { tr #no-lazies { td colspan="11" { (parts::nothing("No lazy value has been asked for yet.")) } } };
        return vec![Row::new("no-lazies".to_owned(), html)];
    }
    let twins = parts::twins(lazies.lazies.iter().map(|lazy| lazy.name.as_str()));
    let row = |lazy: &Lazy| {
        let html = row(lazy, twins.contains(lazy.name.as_str()), viewer);
        Row::new(format!("lazy-{}", lazy.id), html)
    };
    lazies.lazies.iter().map(row).collect()
}

fn row(lazy: &Lazy, is_twin: bool, viewer: Viewer<'_>) -> Markup {
    let reads = lazy.hits + lazy.waits + lazy.misses + lazy.stale;
    let word = lazy.state_name();
    html! {
        tr id={ "lazy-" (lazy.id) } data-lazy=(lazy.name) data-lazy-id=(lazy.id) data-state=(word) {
            th scope="row" {
                (lazy.name)
                @if is_twin { " " small { "#" (lazy.id) } }
                @if lazy.is_map { " " span.kind { "map" } }
            }
            td { span.state data-s=(word) { (word) } }
            td.num data-label="age" { @if let Some(ms) = lazy.age_ms { (viewer.since_age(ms)) } @else { "–" } }
            td.num data-label="fresh for" { @if let Some(ms) = lazy.fresh_for_ms { (viewer.until_age(ms)) } @else { "–" } }
            td.num data-label="hits" {
                (text::count(lazy.hits))
                @if reads > 0 { " " small { (text::share(lazy.hits as f64, reads as f64)) } }
            }
            td.num data-label="waited" { (text::count(lazy.waits)) }
            td.num data-label="misses" { (text::count(lazy.misses)) }
            td.num data-label="stale" { (text::count(lazy.stale)) }
            td.num data-label="computed" {
                (text::count(lazy.computations))
                @if lazy.failures > 0 { " " small.alarm { (text::count(lazy.failures)) " failed" } }
            }
            td data-label="last error" {
                @if let Some(error) = &lazy.last_error { (parts::state(error.state)) " " small { (viewer.ago(error.ended_unix_ms)) } }
                @else { "–" }
            }
            td {
                @if viewer.acts {
                    // Of a map no single value can be refreshed.
                    @if !lazy.is_map { (parts::action(viewer, "Refresh", "refresh", lazy.id, &lazy.name, "It is computed anew, and served as it is until then.")) }
                    (parts::action(viewer, "Reset", "reset", lazy.id, &lazy.name, "It is forgotten; whoever asks next waits for it."))
                }
            }
        }
    }
}
