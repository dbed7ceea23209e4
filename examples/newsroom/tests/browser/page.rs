//! One page of the browser.

use std::{path::Path, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::protocol::Protocol;

/// What takes longer never happens; the machine may be busy.
const LONGEST: Duration = Duration::from_secs(30);
const OFTEN: Duration = Duration::from_millis(50);

pub(crate) struct Page {
    protocol: Arc<Protocol>,
    session: String,
}

impl Page {
    pub(crate) async fn new(protocol: Arc<Protocol>, session: String) -> Self {
        let page = Page { protocol, session };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({})).await;
        }
        page.size(1280, 800).await;
        page
    }

    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        self.protocol
            .call(Some(&self.session), method, params)
            .await
    }

    /// Goes to an address, waits until all of it is there, and returns its status.
    pub(crate) async fn open(&self, address: &str) -> u64 {
        self.loaded(self.call("Page.navigate", json!({ "url": address })))
            .await;
        self.status().await
    }

    /// Does what leads to another page, and waits for that.
    pub(crate) async fn loaded(&self, leads: impl Future<Output = impl Sized>) {
        const LOADED: &str = "Page.loadEventFired";
        self.protocol.forget_events(&self.session, LOADED);
        leads.await;
        let there = async || {
            let events = self.protocol.events(&self.session);
            events.iter().any(|event| event["method"] == LOADED)
        };
        eventually("the page is loaded", there).await;
    }

    pub(crate) async fn status(&self) -> u64 {
        let status = "performance.getEntriesByType('navigation')[0].responseStatus";
        self.get(status).await.as_u64().unwrap()
    }

    /// The value of a JavaScript expression, of a promise when it is kept.
    pub(crate) async fn get(&self, expression: &str) -> Value {
        self.try_get(expression).await.expect(expression)
    }

    async fn try_get(&self, expression: &str) -> Result<Value, String> {
        let params =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", params).await;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(thrown.to_string()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    pub(crate) async fn text(&self, selector: &str) -> String {
        let text = format!("document.querySelector({selector:?}).innerText");
        self.get(&text).await.as_str().unwrap().to_owned()
    }

    /// Waits until an expression is true. What throws is not.
    pub(crate) async fn eventually(&self, expression: &str) {
        let is_true = async || {
            self.try_get(expression)
                .await
                .is_ok_and(|value| value == true)
        };
        if timeout(LONGEST, until(is_true)).await.is_err() {
            let seen = self.get("document.body.innerText").await;
            let complaints = self.complaints();
            panic!(
                "never was: {expression}\n{complaints:?}\n{}",
                seen.as_str().unwrap()
            );
        }
    }

    pub(crate) async fn eventually_has(&self, selector: &str) {
        self.eventually(&format!("document.querySelector({selector:?}) !== null"))
            .await;
    }

    /// Clicks on the middle of an element, as a hand does.
    pub(crate) async fn click(&self, selector: &str) {
        let place = format!(
            "(() => {{ const element = document.querySelector({selector:?}); element.scrollIntoView({{ block: 'center', behavior: 'instant' }}); \
             const {{ x, y, width, height }} = element.getBoundingClientRect(); return [x + width / 2, y + height / 2]; }})()"
        );
        let place = self.get(&place).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let click = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", click).await;
        }
    }

    /// Presses a key, as a hand does; one character types itself.
    pub(crate) async fn press(&self, key: &str) {
        let types = key.chars().count() == 1;
        let mut down = json!({ "type": "keyDown", "key": key });
        if types {
            down["text"] = key.into();
        } else {
            down["type"] = "rawKeyDown".into();
            down["windowsVirtualKeyCode"] = 27.into();
        }
        self.call("Input.dispatchKeyEvent", down).await;
        let up = json!({ "type": "keyUp", "key": key });
        self.call("Input.dispatchKeyEvent", up).await;
    }

    pub(crate) async fn size(&self, width: u32, height: u32) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// `light` or `dark`, as the reader's system has it.
    pub(crate) async fn theme(&self, theme: &str) {
        self.media("prefers-color-scheme", theme).await;
    }

    /// Says what the reader's system prefers.
    pub(crate) async fn media(&self, feature: &str, value: &str) {
        let features = json!([{ "name": feature, "value": value }]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await;
    }

    pub(crate) async fn without_script(&self) {
        self.call(
            "Emulation.setScriptExecutionDisabled",
            json!({ "value": true }),
        )
        .await;
    }

    pub(crate) async fn with_header(&self, name: &str, value: &str) {
        self.call(
            "Network.setExtraHTTPHeaders",
            json!({ "headers": { name: value } }),
        )
        .await;
    }

    /// Keeps what the page looks like, all of it.
    pub(crate) async fn shoot(&self, file: &Path) {
        let whole =
            json!({ "format": "png", "captureBeyondViewport": true, "optimizeForSpeed": false });
        let shot = self.call("Page.captureScreenshot", whole).await;
        let shot = BASE64_STANDARD
            .decode(shot["data"].as_str().unwrap())
            .unwrap();
        std::fs::write(file, shot).unwrap();
    }

    /// What the browser has found wrong: errors of scripts and files, and what the policy of the page forbids.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let events = self.protocol.events(&self.session);
        let complaint = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        let complaints = events.iter().filter(complaint);
        complaints
            .map(|event| event["params"].to_string())
            .collect()
    }

    /// Fails if there is one.
    #[track_caller]
    pub(crate) fn has_no_complaint(&self) {
        assert_eq!(self.complaints(), Vec::<String>::new());
    }
}

/// Waits for what threads, sockets and the browser do in their own time.
pub(crate) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    timeout(LONGEST, until(is_so)).await.expect(what);
}

async fn until(is_so: impl AsyncFn() -> bool) {
    while !is_so().await {
        sleep(OFTEN).await;
    }
}
