//! Keys, the theme, and motion.

use crate::{browser::Browser, page::Page, stage::Stage};

const LIVE: &str = "document.documentElement.dataset.stream === 'live'";
const PAUSED: &str = "document.documentElement.dataset.stream === 'paused'";
const IN_THE_FILTER: &str = "document.activeElement.matches('[role=search] input[type=search]')";
const HELP: &str = "document.querySelector('#help').open";
const BACKGROUND: &str = "getComputedStyle(document.body).backgroundColor";

async fn live(browser: &Browser, address: &str) -> Page {
    let page = browser.page().await;
    assert_eq!(page.open(address).await, 200, "{address}");
    page.eventually(LIVE).await;
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_lead_to_the_filter_pause_and_help_and_are_letters_in_a_field() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new().await;
    let page = live(&browser, &stage.console("")).await;
    page.press("/").await;
    page.eventually(IN_THE_FILTER).await;
    for key in ["/", "p", "?"] {
        page.press(key).await;
    }
    assert_eq!(page.get("document.activeElement.value").await, "/p?");
    assert_eq!(page.get(HELP).await, false);
    assert_eq!(page.get(LIVE).await, true);

    page.get("document.activeElement.blur()").await;
    page.press("p").await;
    page.eventually(PAUSED).await;
    assert_eq!(
        page.get("document.querySelector('[data-does=pause]').ariaPressed")
            .await,
        "true"
    );
    page.press("p").await;
    page.eventually(LIVE).await;
    page.press("?").await;
    page.eventually(HELP).await;
    page.press("Escape").await;
    page.eventually(&format!("!{HELP}")).await;
    page.has_no_complaint();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_theme_is_the_systems_until_one_is_chosen_and_stays_then() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new().await;
    let page = live(&browser, &stage.console("")).await;
    let mut seen = Vec::new();
    for theme in ["light", "dark"] {
        page.theme(theme).await;
        seen.push(page.get(BACKGROUND).await);
    }
    assert_ne!(seen[0], seen[1]);

    // Chosen against the system's dark one.
    page.click("[data-does=theme]").await;
    page.eventually(&format!("{BACKGROUND} === {}", seen[0]))
        .await;
    page.open(&stage.console("/pools")).await;
    assert_eq!(page.get(BACKGROUND).await, seen[0], "on every page");
    page.theme("light").await;
    page.eventually(LIVE).await;
    page.click("[data-does=theme]").await;
    page.eventually(&format!("{BACKGROUND} === {}", seen[1]))
        .await;
    page.has_no_complaint();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_moves_for_who_wants_less_motion() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new().await;
    let page = live(&browser, &stage.console("")).await;
    for (motion, moves) in [("no-preference", true), ("reduce", false)] {
        page.media("prefers-reduced-motion", motion).await;
        page.eventually(&format!(
            "(document.getAnimations().length > 0) === {moves}"
        ))
        .await;
    }
}
