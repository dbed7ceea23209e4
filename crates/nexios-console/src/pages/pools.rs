//! The thread pools: who is full, and since when.

use maud::{Markup, html};

use super::{
    parts,
    region::{Region, Row},
    text,
    viewer::Viewer,
};
use crate::model::{Pool, PoolJob, PoolState, Pools};

/// What the sparkline is drawn on.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 32.0;
/// What the sparkline shows.
const TWO_MINUTES_MS: f64 = 120_000.0;

pub(crate) fn regions(pools: &Pools, viewer: Viewer<'_>) -> Vec<Region> {
    vec![Region::table_body("pools", rows(pools, viewer))]
}

pub(crate) fn main(pools: &Pools, viewer: Viewer<'_>) -> Markup {
    html! {
        h1 { "Pools" }
        table.pools {
            caption.vh { "Thread pools" }
            thead {
                tr {
                    th scope="col" { "Pool" }
                    th scope="col" { "State" }
                    th scope="col" { "Threads in use" }
                    th scope="col" { "Queue" }
                    th scope="col" { "Wait p50 / p95" }
                    th scope="col" { "Done" }
                    th scope="col" { "Shed" }
                    th scope="col" { "Longest running" }
                    th scope="col" { "Two minutes" }
                }
            }
            (Region::table_body("pools", rows(pools, viewer)))
        }
    }
}

fn rows(pools: &Pools, viewer: Viewer<'_>) -> Vec<Row> {
    if pools.pools.is_empty() {
        let html = html! { tr #no-pools { td colspan="9" { (parts::nothing("No pool has had a job yet.")) } } };
        return vec![Row::new("no-pools".to_owned(), html)];
    }
    let twins = parts::twins(pools.pools.iter().map(|pool| pool.name.as_str()));
    let row = |pool: &Pool| {
        let html = row(pool, twins.contains(pool.name.as_str()), viewer);
        Row::new(format!("pool-{}", pool.id), html)
    };
    pools.pools.iter().map(row).collect()
}

fn row(pool: &Pool, is_twin: bool, viewer: Viewer<'_>) -> Markup {
    let word = pool.state.as_str();
    let used = pool.running.min(pool.threads);
    html! {
        tr id={ "pool-" (pool.id) } data-pool=(pool.name) data-state=(word) {
            th scope="row" { (pool.name) @if is_twin { " " small { "#" (pool.id) } } }
            td { span.state data-s=(word) { (word) } }
            td data-label="in use" {
                meter value=(used) max=(pool.threads) high=[high(pool)] aria-label={ "Threads of " (pool.name) " in use" } {}
                " " span.num { (pool.running) " of " (pool.threads) }
            }
            td.num data-label="queue" .alarm[pool.queued > 0 && pool.state == PoolState::Saturated] { (text::count(pool.queued)) }
            td.num data-label="wait" { (text::span(pool.wait_p50_ms)) " / " (text::span(pool.wait_p95_ms)) }
            td.num data-label="done" { (text::count(pool.completed)) }
            td.num data-label="shed" .alarm[pool.shed > 0] { (text::count(pool.shed)) }
            td.num data-label="longest" {
                @if let Some(ms) = pool.oldest_running_ms { (viewer.since_age(ms)) } @else { "–" }
                @if let Some(job) = &pool.oldest_running { " " small { (self::job(job, viewer)) } }
            }
            td { (sparkline(pool)) }
        }
    }
}

/// Whose closure it is, with a link to its request.
fn job(job: &PoolJob, viewer: Viewer<'_>) -> Markup {
    html! {
        @if let (Some(request), Some(route)) = (job.request, &job.route) {
            a href={ (viewer.place.base) "requests/" (request) "#work-" (job.id) } { (route) }
        } @else { (job.name) }
    }
}

/// A meter with one thread has no middle.
fn high(pool: &Pool) -> Option<usize> {
    (pool.threads > 1).then(|| pool.threads - 1)
}

/// Running jobs as a line, waiting ones as a hill on the same scale.
fn sparkline(pool: &Pool) -> Markup {
    let most = pool
        .history
        .iter()
        .map(|(_, running, queued)| (*running).max(*queued))
        .max();
    let most = most.unwrap_or(0).max(pool.threads).max(1);
    let last = pool.history.last().map_or(0, |(time, ..)| *time);
    let x = |time: u64| WIDTH - last.saturating_sub(time) as f64 / TWO_MINUTES_MS * WIDTH;
    let y = |count: usize| HEIGHT - 1.0 - count as f64 / most as f64 * (HEIGHT - 2.0);
    let points = |count: fn(&(u64, usize, usize)) -> usize| {
        let points = pool.history.iter().filter(|(time, ..)| x(*time) >= 0.0);
        points
            .map(|entry| format!("{:.0},{:.1}", x(entry.0), y(count(entry))))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let first = pool
        .history
        .first()
        .map_or(WIDTH, |(time, ..)| x(*time).max(0.0));
    let hill = format!(
        "{first:.0},{HEIGHT} {} {WIDTH},{HEIGHT}",
        points(|(_, _, queued)| *queued)
    );
    let (running, queued) = pool
        .history
        .iter()
        .fold((0, 0), |(r, q), entry| (r.max(entry.1), q.max(entry.2)));
    let about = format!("Last two minutes: at most {running} running and {queued} in the queue");
    let limit = format!("{:.1}", y(pool.threads));
    html! {
        svg.spark viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(about) {
            polygon.queued points=(hill) {}
            line.limit x1="0" x2=(WIDTH) y1=(limit) y2=(limit) {}
            polyline.running points=(points(|(_, running, _)| *running)) {}
        }
    }
}
