//! What the script of a page takes, as the browser counts it: the time of its thread, whatever else the machine does.

use std::time::Duration;

use nexios::observe::{self, CustomWork, Update};
use serde_json::json;
use tokio::time::sleep;

use crate::{browser::Browser, page::Page, stage::Stage};

/// Milliseconds of script that a tick may take.
const MOST: f64 = 50.0;
/// Rows that change from look to look, each told by itself.
const CHANGING: usize = 30;

/// What this page has done but for styles and layout, in milliseconds. What the browser counts as script by itself leaves out what
/// runs when a promise is kept, and that is where events are heard.
async fn script(page: &Page) -> f64 {
    let answer = page.call("Performance.getMetrics", json!({})).await;
    let metrics = answer["metrics"].as_array().unwrap();
    let seconds = |name: &str| {
        let mut metrics = metrics.iter();
        let metric = metrics.find(|metric| metric["name"] == name);
        metric.unwrap()["value"].as_f64().unwrap()
    };
    let others = [
        "LayoutDuration",
        "RecalcStyleDuration",
        "DevToolsCommandDuration",
    ];
    (seconds("TaskDuration") - others.map(seconds).iter().sum::<f64>()) * 1_000.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_takes_at_most_50_ms_of_script_with_5_000_live_tasks() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new().await;
    let page = browser.page().await;
    page.call("Performance.enable", json!({ "timeDomain": "threadTicks" }))
        .await;
    // Events of one look come together.
    let counts_ticks = "window.ticks = 0; window.EventSource = class extends EventSource { constructor(address) { super(address); let last = 0; \
                        this.addEventListener('html', () => { const now = performance.now(); if (now - last > 100) window.ticks++; last = now; }); } }";
    page.call(
        "Page.addScriptToEvaluateOnNewDocument",
        json!({ "source": counts_ticks }),
    )
    .await;
    let tasks: Vec<CustomWork> = (0..5_000)
        .map(|number| observe::custom(format!("budget {number}")))
        .collect();
    let going_on = tokio::spawn(async move {
        for done in 0.. {
            for task in tasks.iter().take(CHANGING) {
                task.update(&Update::Progress { done, total: 1_000 });
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    page.open(&stage.console("?name=budget&view=flat")).await;
    page.eventually("document.querySelectorAll('#running tr').length === 200")
        .await;
    page.eventually("window.ticks >= 2").await;
    let ticks = async || page.get("window.ticks").await.as_f64().unwrap();
    let (before, from) = (script(&page).await, ticks().await);
    // Not asked in between: an answer takes the page's time as well.
    sleep(Duration::from_secs(4)).await;
    let each = (script(&page).await - before) / (ticks().await - from);
    println!("{each:.1} ms of script a tick");
    assert!(each > 0.0 && each <= MOST, "{each:.1} ms");
    going_on.abort();
    page.has_no_complaint();
}
