//! Jobs of another process: the page of a service shows them live, and what is pressed there reaches them.

use std::{path::Path, time::Duration};

use nexios::Drain;
use nexios_jobs::{JobContext, JobState, Jobs, Kind, Policy};
use serde_json::Value;
use tokio::sync::watch;

use crate::{
    accessible::violations,
    binary::{Binary, data},
    browser::Browser,
    live::{has_never_been_reloaded, remembering},
    page::eventually,
};

const PRINT: Kind<(), ()> = Kind::new("print the paper");

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_another_process_is_seen_going_on_and_is_cancelled_and_retried() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let folder = data();
    let mut binary = Binary::start(&folder, "127.0.0.1:0");
    let file = folder.path().join("data").join("jobs.db");
    let jobs = Jobs::open(&format!("sqlite:{}", file.display()))
        .await
        .unwrap();
    let (goes_on, steps) = watch::channel(1_u64);
    let print = move |(), job: JobContext| {
        let mut steps = steps.clone();
        async move {
            loop {
                job.progress(*steps.borrow_and_update(), 4);
                tokio::select! {
                    _ = job.cancelled() => break Err("stopped"),
                    changed = steps.changed() => if changed.is_err() { break Ok(()) },
                }
            }
        }
    };
    let workers = jobs.workers().handle(PRINT, Policy::new(), print);
    let workers = workers.start().await.unwrap();
    let job = jobs.enqueue(PRINT, &()).await.unwrap();

    let background = format!("{}/nexios/background", binary.address);
    let page = remembering(&browser, &background).await;
    let row = format!("#job-{}", job.id());
    for step in [1, 2, 3] {
        goes_on.send_replace(step);
        page.eventually(&format!(
            "document.querySelector('{row} progress').value === {step}"
        ))
        .await;
    }
    let worker = page.text(&format!("{row} th")).await;
    assert!(
        worker.contains(&format!("pid {}", std::process::id())),
        "{worker}"
    );
    has_never_been_reloaded(&page).await;
    for theme in ["light", "dark"] {
        page.theme(theme).await;
        assert_eq!(violations(&page).await, Vec::<Value>::new(), "{theme}");
    }
    page.has_no_complaint();

    let press = async |verb: &str| {
        let action = format!("{row} .action");
        assert!(
            page.text(&format!("{action} summary"))
                .await
                .starts_with(verb)
        );
        page.click(&format!("{action} summary")).await;
        page.loaded(page.click(&format!("{action} form button")))
            .await;
        assert_eq!(page.get("location.href").await, background);
    };
    let state =
        |state: &str| format!("document.querySelector('{row}').dataset.state === '{state}'");
    press("Cancel").await;
    page.eventually(&state("cancelled")).await;
    // As a reader without a script does it.
    page.without_script().await;
    page.open(&background).await;
    press("Retry").await;
    eventually("it runs again", async || {
        let info = job.status().await.unwrap().unwrap();
        info.state == JobState::Running && info.attempts.len() == 2
    })
    .await;
    // A list is good for a second.
    eventually("the page says so", async || {
        page.open(&background).await;
        page.get(&state("running")).await == true
    })
    .await;
    page.click(&format!("{row} .attempts summary")).await;
    for (width, height) in [(1280, 800), (390, 844)] {
        page.size(width, height).await;
        let file = format!("jobs-{width}.png");
        page.shoot(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(file))
            .await;
        let wide = page.get("document.documentElement.scrollWidth").await;
        assert_eq!(wide, width, "it fits a phone");
    }
    let attempts = page.text(&format!("{row} .attempts ol")).await;
    let here = format!("pid {}", std::process::id());
    assert_eq!(attempts.matches(&here).count(), 2, "{attempts}");
    page.has_no_complaint();

    let now = Drain {
        wait: Duration::ZERO,
        cancel: Duration::from_secs(1),
    };
    workers.drain(now).await;
    binary.end("TERM");
}
