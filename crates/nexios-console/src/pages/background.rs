//! Background tasks, live and lately ended, schedules, and jobs.

use maud::{Markup, html};

use super::{
    jobs, parts,
    region::{Region, Row},
    text,
    viewer::Viewer,
};
use crate::{
    model::{Background, BackgroundTask, Schedule},
    query::JobsQuery,
};

pub(crate) fn regions(
    background: &Background,
    query: &JobsQuery,
    viewer: Viewer<'_>,
) -> Vec<Region> {
    let mut regions = vec![
        Region::table_body("tasks", tasks(background, viewer)),
        Region::table_body("schedules", schedules(background, viewer)),
    ];
    if background.jobs.has_store {
        regions.extend(jobs::regions(&background.jobs, query, viewer));
    }
    regions
}

pub(crate) fn main(background: &Background, query: &JobsQuery, viewer: Viewer<'_>) -> Markup {
    html! {
        h1 { "Background" }
        table.work {
            caption.vh { "Background tasks: live ones, then those that have ended" }
            thead {
                tr {
                    th scope="col" { "Took" }
                    th scope="col" { "Task" }
                    th scope="col" { "State" }
                    th scope="col" { "Progress" }
                    th scope="col" { span.vh { "Action" } }
                }
            }
            (Region::table_body("tasks", tasks(background, viewer)))
        }
        h2 { "Schedules" }
        table.schedules {
            caption.vh { "Schedules and their next runs" }
            thead { tr { th scope="col" { "Schedule" } th scope="col" { "Next run" } } }
            (Region::table_body("schedules", schedules(background, viewer)))
        }
        @if background.jobs.has_store { (jobs::section(&background.jobs, query, viewer)) }
    }
}

fn tasks(background: &Background, viewer: Viewer<'_>) -> Vec<Row> {
    if background.tasks.is_empty() {
        let html = html! { tr #no-tasks { td colspan="5" { (parts::nothing("No background task has been seen yet.")) } } };
        return vec![Row::new("no-tasks".to_owned(), html)];
    }
    background
        .tasks
        .iter()
        .map(|task| Row::new(format!("work-{}", task.work.id), row(task, viewer)))
        .collect()
}

fn row(task: &BackgroundTask, viewer: Viewer<'_>) -> Markup {
    let work = &task.work;
    let owner = task.registry.as_deref().or(work.owner.as_deref());
    html! {
        tr id={ "work-" (work.id) } data-work-id=(work.id) data-kind=(work.kind.as_str()) data-state=(work.state.as_str()) {
            td.num {
                @if work.state.lives() { (viewer.since_age(task.elapsed_ms)) } @else { (text::span(task.elapsed_ms)) }
            }
            th scope="row" {
                (parts::named(work.kind, &work.name, owner))
                @if work.attempt > 1 { " " small { "attempt " (work.attempt) } }
                @if let Some(ended) = task.ended_unix_ms { " " small { "ended " (viewer.ago(ended)) } }
            }
            td {
                (parts::state(work.state))
                @if let Some(what) = &work.waiting_for { " " small { "for " (what) } }
                @if let Some(reason) = work.reason { " " small { (parts::reason(reason)) } }
                @if let Some(error) = &work.error { " " small.error { (error.as_str()) } }
            }
            td {
                @if let Some(progress) = &work.progress { (parts::progress(&work.name, progress)) }
                @if let Some(eta) = task.eta_ms { " " small { "about " (viewer.until_age(eta)) " left" } }
            }
            td { (parts::cancel(viewer, work)) }
        }
    }
}

fn schedules(background: &Background, viewer: Viewer<'_>) -> Vec<Row> {
    if background.schedules.is_empty() {
        let html =
            html! { tr #no-schedules { td colspan="2" { (parts::nothing("There are none.")) } } };
        return vec![Row::new("no-schedules".to_owned(), html)];
    }
    let rows = background.schedules.iter().enumerate();
    rows.map(|(index, schedule)| {
        let id = format!("schedule-{index}");
        let html = self::schedule(&id, schedule, viewer);
        Row::new(id, html)
    })
    .collect()
}

fn schedule(id: &str, schedule: &Schedule, viewer: Viewer<'_>) -> Markup {
    html! {
        tr id=(id) {
            th scope="row" { (schedule.name) }
            td {
                @if let Some(next) = schedule.next_unix_ms {
                    "in " (viewer.until(next)) " " small { (text::moment(next)) }
                } @else { "–" }
            }
        }
    }
}
