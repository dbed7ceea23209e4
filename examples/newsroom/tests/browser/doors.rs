//! Who is not let in, though a browser asks.

use newsroom::ConsoleAccess;

use crate::{
    browser::Browser,
    stage::{Held, Stage},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_form_on_another_site_changes_nothing() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new().await;
    let task = Held::task("not to be cancelled");
    let page = browser.page().await;
    // The same machine by another name is another site to a browser.
    let elsewhere = stage.address.replace("127.0.0.1", "localhost");
    page.open(&format!("{elsewhere}/nowhere")).await;
    page.call("Page.setBypassCSP", serde_json::json!({ "enabled": true }))
        .await;
    page.open(&format!("{elsewhere}/nowhere")).await;
    let action = stage.console(&format!("/actions/cancel/{}", task.id));
    let post = format!(
        "(() => {{ const form = document.createElement('form'); form.method = 'post'; form.action = '{action}'; \
         document.body.append(form); form.submit(); }})()"
    );
    page.loaded(page.get(&post)).await;
    assert_eq!(page.get("location.href").await, action);
    assert_eq!(page.status().await, 403);

    page.open(&stage.console("/background")).await;
    let state = format!("document.querySelector('#work-{}').dataset.state", task.id);
    assert_eq!(page.get(&state).await, "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_name_that_leads_here_is_refused() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new().await;
    let page = browser.page().await;
    let rebound = stage.console("").replace("127.0.0.1", "rebound.example");
    assert_eq!(page.open(&rebound).await, 403);
    let own = stage.console("").replace("127.0.0.1", "localhost");
    assert_eq!(page.open(&own).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_password_there_is_nothing_to_see() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::with(ConsoleAccess::Basic("letmein".into())).await;
    let page = browser.page().await;
    for path in ["", "/requests", "/api/v1/status", "/metrics", "/events"] {
        assert_eq!(page.open(&stage.console(path)).await, 401, "{path}");
    }
    // newsroom:letmein
    page.with_header("authorization", "Basic bmV3c3Jvb206bGV0bWVpbg==")
        .await;
    assert_eq!(page.open(&stage.console("")).await, 200);
    assert_eq!(page.text("[data-field=service]").await, "newsroom");
}
