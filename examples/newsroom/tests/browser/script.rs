//! Pages without JavaScript.

use crate::{
    browser::Browser,
    stage::{Held, Stage},
};

pub(crate) const TABS: [(&str, &str); 7] = [
    ("", "Running"),
    ("/requests", "Requests"),
    ("/pools", "Pools"),
    ("/background", "Background"),
    ("/lazies", "Lazy values"),
    ("/races", "Races and hedges"),
    ("/lints", "Lints"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_tab_and_the_cancel_form_work_without_script() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new().await;
    assert_eq!(stage.ask("/analytics/daily").await, 200);
    let page = browser.page().await;
    page.without_script().await;
    page.open(&stage.console("/")).await;
    for (at, (address, title)) in TABS.iter().enumerate() {
        page.loaded(page.click(&format!("nav a:nth-of-type({})", at + 1)))
            .await;
        assert_eq!(page.get("location.href").await, stage.console(address));
        assert_eq!(page.text("h1").await, *title);
        assert_eq!(
            page.text("nav [aria-current=page]").await.split(' ').next(),
            title.split(' ').next()
        );
        assert_eq!(
            page.get("document.documentElement.dataset.stream").await,
            "off",
            "no script has run"
        );
    }

    for address in ["?name=columns", "/background"] {
        let task = Held::task("write columns");
        page.open(&stage.console(address)).await;
        let row = format!("#work-{}", task.id);
        page.click(&format!("{row} summary")).await;
        page.loaded(page.click(&format!("{row} form button"))).await;
        assert_eq!(page.get("location.href").await, stage.console(address));
        // It was told, and came to its end by itself: the test holds it still.
        let state = format!("document.querySelector('{row}').dataset.state");
        page.open(&stage.console("/background")).await;
        assert_eq!(page.get(&state).await, "completed");
        drop(task);
    }

    page.open(&stage.console("?kind=request&older=10s")).await;
    assert_eq!(
        page.get("document.querySelector('[name=older]').value")
            .await,
        "10s"
    );
    page.loaded(page.click("form[role=search] button")).await;
    assert_eq!(page.status().await, 200);
    page.has_no_complaint();
}
