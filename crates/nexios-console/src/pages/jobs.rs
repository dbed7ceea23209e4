//! Durable jobs: what each is, where its attempts ran, and what somebody can do about it.

use maud::{Markup, Render, html};

use super::{
    address, parts,
    region::{Region, Row},
    text,
    viewer::Viewer,
};
use crate::{
    model::{Away, Job, JobAttempt, JobList, LeftOut},
    query::{JOB_STATES, JobsQuery},
};

pub(super) fn regions(list: &JobList, query: &JobsQuery, viewer: Viewer<'_>) -> Vec<Region> {
    vec![
        away(list, viewer),
        Region::table_body("jobs", rows(list, viewer)),
        left_out(&list.left_out, query, viewer),
    ]
}

pub(super) fn section(list: &JobList, query: &JobsQuery, viewer: Viewer<'_>) -> Markup {
    html! {
        h2 { "Jobs" }
        (filter(query, viewer))
        (away(list, viewer))
        table.work.jobs {
            caption.vh { "Jobs of every machine: running ones, waiting ones, then those that have ended" }
            thead {
                tr {
                    th scope="col" { "Took" }
                    th scope="col" { "Job" }
                    th scope="col" { "State" }
                    th scope="col" { "Progress" }
                    th scope="col" { span.vh { "Action" } }
                }
            }
            (Region::table_body("jobs", rows(list, viewer)))
        }
        (left_out(&list.left_out, query, viewer))
    }
}

fn filter(query: &JobsQuery, viewer: Viewer<'_>) -> Markup {
    let is_filtered = *query != JobsQuery::default();
    html! {
        form.filter method="get" role="search" aria-label="Jobs" {
            label { "Kind" input type="search" name="kind" value=(query.kind) placeholder="the whole name" autocomplete="off"; }
            label {
                "State"
                select name="state" {
                    option value="" { "any" }
                    @for state in JOB_STATES { option value=(state) selected[*state == query.state] { (state) } }
                }
            }
            button { "Filter" }
            @if is_filtered { a href=(asking(&JobsQuery::default(), viewer)) { "Show all" } }
        }
    }
}

/// The same page with another question.
fn asking(query: &JobsQuery, viewer: Viewer<'_>) -> String {
    address::with(&format!("{}background", viewer.place.base), &fields(query))
}

/// The query as fields of an address; the empty ones are those that ask for nothing.
pub(super) fn fields(query: &JobsQuery) -> [(&'static str, &str); 3] {
    let JobsQuery {
        kind,
        state,
        before,
    } = query;
    [("kind", kind), ("state", state), ("before", before)]
}

fn away(list: &JobList, viewer: Viewer<'_>) -> Region {
    let line = |away: &Away| {
        html! {
            strong { "The store of jobs has not answered for " (viewer.since(away.since_unix_ms)) "." }
            @if list.is_known { " The list is as it was before." }
            @if let Some(error) = &away.error { " " small.error { (error.as_str()) } }
        }
    };
    let html = html! {
        p #jobs-away .alarm hidden[list.away.is_none()] { @if let Some(away) = &list.away { (line(away)) } }
    };
    Region::whole("jobs-away", html)
}

fn rows(list: &JobList, viewer: Viewer<'_>) -> Vec<Row> {
    if list.jobs.is_empty() {
        let what = match list.is_known {
            true => "There are no such jobs.",
            false => "The store of jobs has not said yet what is there.",
        };
        let html = html! { tr #no-jobs { td colspan="5" { (parts::nothing(what)) } } };
        return vec![Row::new("no-jobs".to_owned(), html)];
    }
    let rows = list.jobs.iter();
    rows.map(|job| Row::new(format!("job-{}", job.id), row(job, viewer)))
        .collect()
}

fn row(job: &Job, viewer: Viewer<'_>) -> Markup {
    let last = job.attempts.last();
    html! {
        tr id={ "job-" (job.id) } data-job-id=(job.id) data-kind=(job.kind) data-state=(job.state) {
            td.num { (took(job, viewer)) }
            th scope="row" {
                span.name { (job.kind) } " " small { "#" (job.id) }
                @if let Some(key) = &job.key { " " small { "key " (key.as_str()) } }
                @if job.attempt > 1 { " " small { "attempt " (job.attempt) } }
                @if let Some(attempt) = last.filter(|_| job.state == "running") { " " small { "on " (worker(attempt)) } }
                @if let Some(ended) = job.ended_unix_ms { " " small { "ended " (viewer.ago(ended)) } }
            }
            td {
                span.state data-s=(job.state) { (job.state) }
                @if job.waits_for_its_time() { " " small { "next in " (viewer.until(job.run_at_unix_ms)) } }
                @if let Some(error) = job.error.as_ref().filter(|_| job.tells_its_error()) {
                    " " small.error { @if job.lives() { "last error: " } (error.as_str()) }
                }
                (history(job))
            }
            td { @if let Some(progress) = &job.progress { (parts::progress(&job.kind, progress)) } }
            td { @if viewer.acts { (actions(job, viewer)) } }
        }
    }
}

/// The last attempt's time; of one that waits there is none.
fn took(job: &Job, viewer: Viewer<'_>) -> Markup {
    let started = job.attempts.last().map(|attempt| attempt.started_unix_ms);
    html! {
        @match (job.state, started, job.ended_unix_ms) {
            ("running", Some(started), _) => { (viewer.since(started)) }
            (_, Some(started), Some(ended)) => { (text::span(ended.saturating_sub(started) as f64)) }
            _ => { "–" }
        }
    }
}

fn worker(attempt: &JobAttempt) -> impl Render {
    html! { (attempt.host) ", pid " (attempt.pid) }
}

/// Its attempts and what came of it, to be opened.
fn history(job: &Job) -> Markup {
    let (attempts, result) = (&job.attempts, &job.result);
    html! {
        @if !attempts.is_empty() || result.is_some() {
            details.attempts {
                summary { (text::counted(attempts.len(), "attempt", "attempts")) span.vh { " of " (job.kind) " #" (job.id) } }
                ol {
                    @for attempt in attempts { li { (self::attempt(attempt)) } }
                }
                p { small { "Enqueued " (text::moment(job.created_unix_ms)) ", priority " (job.priority) } }
                @if let Some(result) = result { p { "Result " code { (result.as_str()) } } }
            }
        }
    }
}

fn attempt(attempt: &JobAttempt) -> Markup {
    html! {
        (attempt.number) ": on " (worker(attempt)) ", " (text::moment(attempt.started_unix_ms))
        @if let Some(ended) = attempt.ended_unix_ms {
            ", took " (text::span(ended.saturating_sub(attempt.started_unix_ms) as f64))
        }
        @if let Some(end) = attempt.end { ", " (end.replace('_', " ")) }
        @if let Some(error) = &attempt.error { " " small.error { (error.as_str()) } }
    }
}

fn actions(job: &Job, viewer: Viewer<'_>) -> Markup {
    let form = |verb: &str, path: &str, asks: &str| {
        let name = format!("{} #{}", job.kind, job.id);
        parts::action(viewer, verb, path, &job.id, &name, asks)
    };
    html! {
        @if job.waits_for_its_time() { (form("Run now", "retry", "It waits for its time no longer.")) }
        @if job.can_be_revived() { (form("Retry", "retry", "It runs again, with all its attempts.")) }
        @if job.lives() {
            (form("Cancel", "cancel-job", "Wherever it runs it is told to stop, and may clean up first; it is not tried again."))
        }
    }
}

fn left_out(left_out: &[LeftOut], query: &JobsQuery, viewer: Viewer<'_>) -> Region {
    let link = |left: &LeftOut| {
        let before = left.before.clone().unwrap_or_default();
        let older = if before.is_empty() { "" } else { "older " };
        let more = JobsQuery {
            state: left.state.clone(),
            before,
            ..query.clone()
        };
        html! { a href=(asking(&more, viewer)) { (older) (left.state) " jobs" } }
    };
    let html = html! {
        p #jobs-left-out hidden[left_out.is_empty()] {
            "Not shown here: "
            @for (index, left) in left_out.iter().enumerate() { @if index > 0 { ", " } (link(left)) }
        }
    };
    Region::whole("jobs-left-out", html)
}
