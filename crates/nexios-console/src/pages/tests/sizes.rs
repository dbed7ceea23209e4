//! How large the pages and their files are on the wire.

use nexios::observe::WorkKind;

use super::{super::layout::Tab, above, background, fixtures::*, running, shown};
use crate::{
    assets,
    model::*,
    query::{JobsQuery, RunningQuery},
};

fn zipped(text: &str) -> usize {
    use std::io::Write;
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    zip.write_all(text.as_bytes()).unwrap();
    zip.finish().unwrap().len()
}

#[test]
fn two_hundred_rows_are_at_most_20_kb_zipped() {
    let mut running = live();
    for id in 1000..1196 {
        let name = format!("fetch-{:x}", id * 2_654_435_761_u64 % 65_521);
        let waits = id % 3 == 0;
        running.work.push(Work {
            parent: Some(88),
            state: if waits {
                State::Waiting
            } else {
                State::Running
            },
            waiting_for: waits.then(|| "a thread of \"thumbnails\"".to_owned()),
            progress: progress(id % 100, 100, &format!("{id} of many")),
            made_unix_ms: THEN + id * id,
            can_cancel: id % 2 == 0,
            ..work(id, WorkKind::Child, &name)
        });
    }
    assert_eq!(running.work.len(), 200);
    let place = place("./");
    let main = running::main(
        &running,
        &above(viewer(&place)),
        &RunningQuery::default(),
        viewer(&place),
    );
    let size = zipped(&shown(Tab::Running, &place, main));
    assert!(size <= 20_000, "{size}");
}

#[test]
fn two_hundred_tasks_and_jobs_are_at_most_20_kb_zipped() {
    let mut background = tasks();
    for id in 1000..1100 {
        let name = format!("import-{:x}", id * 2_654_435_761_u64 % 65_521);
        background.tasks.push(BackgroundTask {
            work: Work {
                progress: progress(id % 100, 100, &format!("{id} of many")),
                can_cancel: true,
                ..work(id, WorkKind::Background, &name)
            },
            ..background.tasks[0].clone()
        });
    }
    let states = ["running", "retrying", "completed", "dead"];
    background.jobs.jobs = (1000..1100)
        .map(|id| Job {
            created_unix_ms: THEN + id * id,
            progress: progress(id % 100, 100, &format!("{id} of many")),
            ..job(id, "send newsletter", states[id as usize % 4])
        })
        .collect();
    let place = place("./");
    let main = background::main(&background, &JobsQuery::default(), viewer(&place));
    let size = zipped(&shown(Tab::Background, &place, main));
    assert!(size <= 20_000, "{size}");
}

#[test]
fn style_and_script_stay_small() {
    let (style, script) = (
        zipped(assets::STYLE.content()),
        zipped(assets::SCRIPT.content()),
    );
    assert!(
        style <= 6_000 && script <= 8_000,
        "style {style}, script {script}"
    );
}
