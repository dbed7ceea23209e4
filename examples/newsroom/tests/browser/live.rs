//! Pages that live: what happens is on them without a reload.

use crate::{
    binary::{Binary, data},
    browser::Browser,
    page::Page,
    stage::{Held, Stage},
};

/// A page that remembers: a reload would make it forget.
pub(crate) async fn remembering(browser: &Browser, address: &str) -> Page {
    let page = browser.page().await;
    assert_eq!(page.open(address).await, 200, "{address}");
    page.eventually("document.documentElement.dataset.stream === 'live'")
        .await;
    page.get("window.remembers = true").await;
    page
}

pub(crate) async fn has_never_been_reloaded(page: &Page) {
    assert_eq!(page.get("window.remembers").await, true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_progress_bar_moves_without_a_reload() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new().await;
    for address in ["?name=print%20the%20paper", "/background"] {
        let page = remembering(&browser, &stage.console(address)).await;
        let task = Held::task("print the paper");
        let bar = format!("#work-{} progress", task.id);
        for steps in [1, 2, 3] {
            task.has_done(steps);
            page.eventually(&format!(
                "document.querySelector('{bar}').value === {steps}"
            ))
            .await;
        }
        assert_eq!(
            page.get(&format!("document.querySelector('{bar}').max"))
                .await,
            4
        );
        let row = format!("document.querySelector('#work-{}')", task.id);
        drop(task);
        // Of what has ended, there is something to see on one of the pages.
        let has_ended = format!("{row} === null || {row}.dataset.state === 'completed'");
        page.eventually(&has_ended).await;
        has_never_been_reloaded(&page).await;
        page.has_no_complaint();
    }
}

/// However it ended: in an orderly way, or killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_finds_its_service_again_after_a_restart() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let folder = data();
    let mut binary = Binary::start(&folder, "127.0.0.1:0");
    let row = "[data-lazy='daily totals']";
    let page = remembering(&browser, &format!("{}/nexios/lazies", binary.address)).await;
    for signal in ["TERM", "KILL"] {
        assert_eq!(reqwest::get(binary.daily()).await.unwrap().status(), 200);
        page.eventually_has(row).await;

        let address = binary.address.replace("http://", "");
        binary.end(signal);
        page.eventually("document.documentElement.dataset.stream !== 'live'")
            .await;
        binary = Binary::start(&folder, &address);
        page.eventually("document.documentElement.dataset.stream === 'live'")
            .await;
        // The new one has computed nothing yet.
        page.eventually(&format!("document.querySelector(\"{row}\") === null"))
            .await;
        has_never_been_reloaded(&page).await;
    }
    binary.end("TERM");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_while_a_page_is_fetched_anew_comes_after_it() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new().await;
    let page = browser.page().await;
    let remembers_its_events = "window.EventSource = class extends EventSource { constructor(address) { super(address); window.events = this; } }";
    page.call(
        "Page.addScriptToEvaluateOnNewDocument",
        serde_json::json!({ "source": remembers_its_events }),
    )
    .await;
    page.open(&stage.console("?name=columns")).await;
    page.eventually("document.documentElement.dataset.stream === 'live'")
        .await;
    // The page that it fetches takes its time to come.
    let slow = "(() => { const ask = window.fetch; window.fetch = async (...asked) => { const answer = await ask(...asked); \
                const text = await answer.text(); window.rendered = true; await new Promise((then) => setTimeout(then, 2000)); \
                return new Response(text); }; })()";
    page.get(slow).await;
    page.get("window.events.dispatchEvent(new MessageEvent('resync', { data: '{}' }))")
        .await;
    page.eventually("window.rendered === true").await;
    let column = nexios::observe::custom("columns of today");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let seen = "document.querySelector('main').innerText.includes('columns of today')";
    assert_eq!(page.get(seen).await, true);
    drop(column);
    page.has_no_complaint();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_page_stands_still_and_then_goes_on() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new().await;
    let page = remembering(&browser, &stage.console("?name=columns")).await;
    page.click("[data-does=pause]").await;
    page.eventually("document.documentElement.dataset.stream === 'paused'")
        .await;
    let column = nexios::observe::custom("columns of today");
    // Longer than it takes for what happens to come to a page.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let seen = "document.querySelector('main').innerText.includes('columns of today')";
    assert_eq!(page.get(seen).await, false);
    page.click("[data-does=pause]").await;
    page.eventually(seen).await;
    drop(column);
    has_never_been_reloaded(&page).await;
    page.has_no_complaint();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_a_text_whatever_is_in_it() {
    const NAME: &str = "<img src=x onerror=\"document.title='stung'\">";
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new().await;
    let live = remembering(&browser, &stage.console("")).await;
    let task = Held::task(NAME);
    let shown = format!("#work-{} .name", task.id);
    live.eventually_has(&shown).await;
    let fresh = remembering(&browser, &stage.console("/background")).await;
    for page in [live, fresh] {
        assert_eq!(page.text(&shown).await, NAME);
        assert_eq!(page.get("document.querySelectorAll('img').length").await, 0);
        assert_ne!(page.get("document.title").await, "stung");
        page.has_no_complaint();
    }
}
