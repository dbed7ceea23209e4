//! All live work, and what it waits for.

use std::collections::BTreeMap;

use maud::{Markup, html};
use nexios::observe::WorkKind;

use super::{
    parts,
    region::{Region, Row},
    text,
    viewer::Viewer,
};
use crate::{
    model::{Running, State, Work},
    query::{RunningQuery, ViewOf},
};

/// Steps that parts are set in; deeper ones are set in as far.
const DEEPEST: usize = 8;

/// `now` stands above the list, whatever its filter.
pub(crate) fn regions(
    running: &Running,
    now: Region,
    query: &RunningQuery,
    viewer: Viewer<'_>,
) -> Vec<Region> {
    vec![
        now,
        matching(running),
        Region::table_body("running", rows(running, query, viewer)),
        pages(running, query, viewer),
    ]
}

pub(crate) fn main(
    running: &Running,
    now: &Region,
    query: &RunningQuery,
    viewer: Viewer<'_>,
) -> Markup {
    let tree = query.view == ViewOf::Tree;
    html! {
        h1 { "Running" }
        (now)
        (filter(query, viewer))
        .bar {
            (matching(running))
            p.views {
                a href=(address(query, ViewOf::Tree, 1, viewer)) aria-current=[tree.then_some("true")] { "By request" }
                a href=(address(query, ViewOf::Flat, 1, viewer)) aria-current=[(!tree).then_some("true")] { "Flat" }
            }
        }
        table.work {
            caption.vh { "Live work, oldest first" }
            thead {
                tr {
                    th scope="col" { "Age" }
                    th scope="col" { "Work" }
                    th scope="col" { "State" }
                    th scope="col" { "Progress" }
                    th scope="col" { span.vh { "Action" } }
                }
            }
            (Region::table_body("running", rows(running, query, viewer)))
        }
        (pages(running, query, viewer))
    }
}

fn filter(query: &RunningQuery, viewer: Viewer<'_>) -> Markup {
    let kinds = [
        WorkKind::Request,
        WorkKind::Background,
        WorkKind::Group,
        WorkKind::Child,
        WorkKind::ParallelChild,
        WorkKind::Daemon,
        WorkKind::Item,
        WorkKind::Finalizer,
        WorkKind::PoolJob,
        WorkKind::Race,
        WorkKind::Candidate,
        WorkKind::Hedge,
        WorkKind::Attempt,
        WorkKind::Computation,
        WorkKind::Custom,
    ]
    .map(WorkKind::as_str);
    let states = [State::Waiting, State::Running, State::Cancelling].map(State::as_str);
    let is_filtered = [&query.name, &query.kind, &query.state, &query.older]
        .iter()
        .any(|field| !field.is_empty());
    html! {
        form.filter method="get" role="search" aria-label="Live work" {
            @if query.view == ViewOf::Flat { input type="hidden" name="view" value="flat"; }
            label { "Name" input type="search" name="name" value=(query.name) placeholder="part of a name" autocomplete="off"; }
            label { "Kind" (choice("kind", &kinds, &query.kind)) }
            label { "State" (choice("state", &states, &query.state)) }
            label { "Older than" input.short name="older" value=(query.older) placeholder="2s" autocomplete="off"; }
            button { "Filter" }
            @if is_filtered { a href=(address(&RunningQuery { view: query.view, ..RunningQuery::default() }, query.view, 1, viewer)) { "Show all" } }
        }
    }
}

/// A value that is no choice comes back as one, so that the form says what the list shows.
fn choice(name: &str, choices: &[&str], chosen: &str) -> Markup {
    let is_odd = !chosen.is_empty() && !choices.contains(&chosen);
    html! {
        select name=(name) {
            option value="" { "any" }
            @for choice in choices {
                option value=(choice) selected[*choice == chosen] { (parts::words(choice)) }
            }
            @if is_odd { option value=(chosen) selected { (chosen) } }
        }
    }
}

fn matching(running: &Running) -> Region {
    let (total, shown) = (running.total, running.work.len());
    let html = html! {
        p #matching {
            @if shown < total {
                (text::count(shown)) " of " (text::count(total)) " pieces of work shown, page "
                (running.page) " of " (running.pages)
            } @else { (text::counted(total, "piece of work", "pieces of work")) }
        }
    };
    Region::whole("matching", html)
}

fn rows(running: &Running, query: &RunningQuery, viewer: Viewer<'_>) -> Vec<Row> {
    if running.work.is_empty() {
        let html =
            html! { tr #no-work { td colspan="5" { (parts::nothing("Nothing is running.")) } } };
        return vec![Row::new("no-work".to_owned(), html)];
    }
    let mut depths: BTreeMap<u64, usize> = BTreeMap::new();
    let names: BTreeMap<u64, &str> = running
        .work
        .iter()
        .map(|work| (work.id, work.name.as_str()))
        .collect();
    let is_tree = query.view == ViewOf::Tree;
    let rows = running.work.iter().map(|work| {
        let within = work
            .parent
            .and_then(|parent| depths.get(&parent))
            .map_or(0, |depth| depth + 1);
        depths.insert(work.id, within);
        let depth = if is_tree { within.min(DEEPEST) } else { 0 };
        // In a tree it stands above, unless it is on the page before.
        let parent = work.parent.filter(|_| !is_tree || within == 0);
        let parent = parent.map(|parent| (parent, names.get(&parent).copied()));
        Row::new(
            format!("work-{}", work.id),
            row(work, depth, parent, viewer),
        )
    });
    rows.collect()
}

fn row(
    work: &Work,
    depth: usize,
    parent: Option<(u64, Option<&str>)>,
    viewer: Viewer<'_>,
) -> Markup {
    html! {
        tr id={ "work-" (work.id) } data-work-id=(work.id) data-kind=(work.kind.as_str()) data-state=(work.state.as_str()) {
            td.num { (viewer.since(work.made_unix_ms)) }
            th scope="row" class={ "d" (depth) } {
                @if work.kind == WorkKind::Request {
                    a.name href={ (viewer.place.base) "requests/" (work.id) } { (work.name) }
                    " " span.kind { "request" }
                } @else {
                    (parts::named(work.kind, &work.name, work.owner.as_deref()))
                }
                @if work.attempt > 1 { " " small { "attempt " (work.attempt) } }
                @if let Some((id, name)) = parent {
                    " " small { "in " @if let Some(name) = name { (name) } @else { "#" (id) } }
                }
                @if let Some(link) = work.link { " " small { "started by #" (link) } }
            }
            td {
                (parts::state(work.state))
                @if let Some(what) = &work.waiting_for {
                    " " small {
                        "for " (what)
                        @if let Some(since) = work.waits_since_unix_ms { ", " (viewer.since(since)) }
                    }
                }
                @if let Some(reason) = work.reason { " " small { (parts::reason(reason)) } }
                @if let Some(error) = &work.error { " " small.error { (error.as_str()) } }
            }
            td { @if let Some(progress) = &work.progress { (parts::progress(&work.name, progress)) } }
            td { (parts::cancel(viewer, work)) }
        }
    }
}

fn pages(running: &Running, query: &RunningQuery, viewer: Viewer<'_>) -> Region {
    let (page, last) = (running.page, running.pages);
    let html = html! {
        nav #pager aria-label="Parts of the list" hidden[last < 2] {
            @if page > 1 { a rel="prev" href=(address(query, query.view, page - 1, viewer)) { "Older" } }
            span { "page " (page) " of " (last) }
            @if page < last { a rel="next" href=(address(query, query.view, page + 1, viewer)) { "Newer" } }
        }
    };
    Region::whole("pager", html)
}

/// The same filter, seen otherwise.
fn address(query: &RunningQuery, view: ViewOf, page: usize, viewer: Viewer<'_>) -> String {
    let page = if page > 1 {
        page.to_string()
    } else {
        String::new()
    };
    super::address::with(
        &viewer.place.home,
        &fields(&RunningQuery {
            view,
            page,
            ..query.clone()
        }),
    )
}

/// The query as fields of an address; the empty ones are those that ask for nothing.
pub(super) fn fields(query: &RunningQuery) -> [(&'static str, &str); 6] {
    let RunningQuery {
        view,
        name,
        kind,
        state,
        older,
        page,
    } = query;
    let view = if *view == ViewOf::Flat { "flat" } else { "" };
    [
        ("view", view),
        ("name", name),
        ("kind", kind),
        ("state", state),
        ("older", older),
        ("page", page),
    ]
}
