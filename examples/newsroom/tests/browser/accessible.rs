//! Pages for everybody: axe finds nothing serious, in either theme.

use serde_json::Value;

use crate::{browser::Browser, page::Page, pictures::Scene};

const AXE: &str = include_str!("axe/axe.min.js");

/// What axe calls serious or critical.
const FOUND: &str = "axe.run(document).then(({ violations }) => violations.filter(({ impact }) => impact === 'serious' || impact === 'critical') \
                     .map(({ id, help, nodes }) => id + ': ' + help + ': ' + nodes.slice(0, 3).map((node) => node.html + ' ' + node.failureSummary).join(' | ')))";

/// What axe finds serious on a page as it is now.
pub(crate) async fn violations(page: &Page) -> Vec<Value> {
    page.get(AXE).await;
    match page.get(FOUND).await {
        Value::Array(violations) => violations,
        other => panic!("axe found no list: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_serious_on_any_page_in_light_and_in_dark() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let scene = Scene::begin().await;
    let page = browser.page().await;
    let mut found = Vec::new();
    for theme in ["light", "dark"] {
        page.theme(theme).await;
        for address in scene.addresses().await {
            page.open(&address).await;
            for violation in violations(&page).await {
                found.push(format!("{theme} {address}: {violation}"));
            }
            page.has_no_complaint();
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
