//! What the pages look like while the scene of `--play` goes on, kept for whoever wants to look.

use std::{fs, path::Path, time::Duration};

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{browser::Browser, page::eventually, script::TABS, stage::Stage};

/// How long it takes until all of it was seen once.
const WHOLE_SCENE: Duration = Duration::from_secs(25);

/// A service that is played to.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    playing: JoinHandle<()>,
}

impl Scene {
    /// Begins it, and waits until most of it goes on: pictures are turned away.
    pub(crate) async fn begin() -> Self {
        let stage = Stage::new().await;
        let address = stage.address.strip_prefix("http://").unwrap();
        let playing = tokio::spawn(newsroom::play(address.parse().unwrap()));
        let scene = Scene { stage, playing };
        // Of the requests, and not of the pool: that of an earlier test may still be there.
        let requests = scene.stage.console("/api/v1/requests");
        eventually("pictures are turned away", async || {
            let requests = scene.answer(&requests).await;
            let mut routes = requests["routes"].as_array().unwrap().iter();
            routes.any(|route| {
                let failed = route["counts"]["failed"].as_u64();
                route["route"] == "POST /upload" && failed.is_some_and(|failed| failed > 0)
            })
        })
        .await;
        scene
    }

    async fn answer(&self, address: &str) -> Value {
        let answer = self.stage.http.get(address).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// Of every kind of page: the tabs, a cell of the grid, and requests that ended in different ways.
    pub(crate) async fn addresses(&self) -> Vec<String> {
        // First, as a cell keeps the newest ones only. Those of uploads come and go too fast.
        let mut pages = Vec::new();
        for (route, bucket) in [
            ("GET%20/dashboard", "failed"),
            ("GET%20/protected-operation", "cancelled"),
            ("GET%20/search", "lt250ms"),
            ("GET%20/search", "lt500ms"),
        ] {
            let cell = format!("requests?route={route}&bucket={bucket}");
            let address = self.stage.console(&format!("/api/v1/{cell}"));
            let samples = self.answer(&address).await;
            if let Some(id) = samples["samples"][0]["id"].as_u64() {
                pages.push(format!("/requests/{id}"));
            }
        }
        assert!(pages.len() > 1, "no requests to look at: {pages:?}");
        pages.extend(TABS.iter().map(|(path, _)| (*path).to_owned()));
        pages.push("?view=flat&older=1s".to_owned());
        pages.push("/requests?route=POST%20/upload&bucket=failed".to_owned());
        pages.iter().map(|page| self.stage.console(page)).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.playing.abort();
    }
}

/// A name for a file.
fn named(address: &str) -> String {
    let page = address.split("/nexios").nth(1).unwrap_or_default();
    let route = page.split_once("route=").map(|(_, cell)| cell);
    let page = match route {
        Some(cell) => format!("cell-{cell}"),
        None if page.is_empty() => "running".to_owned(),
        None => page.to_owned(),
    };
    let kept = |char: char| {
        if char.is_ascii_alphanumeric() {
            char
        } else {
            '-'
        }
    };
    page.replace("%20", "-")
        .chars()
        .map(kept)
        .collect::<String>()
        .trim_matches('-')
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_kept_and_fits_a_phone() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
    // Of an earlier run.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let scene = Scene::begin().await;
    let page = browser.page().await;
    let mut too_wide = Vec::new();
    for address in scene.addresses().await {
        for (width, height, theme) in [
            (1280, 800, "light"),
            (1280, 800, "dark"),
            (390, 844, "light"),
        ] {
            page.size(width, height).await;
            page.theme(theme).await;
            assert_eq!(page.open(&address).await, 200, "{address}");
            page.eventually("document.documentElement.dataset.stream === 'live'")
                .await;
            page.shoot(&folder.join(format!("{}-{width}-{theme}.png", named(&address))))
                .await;
            let wide = page.get("document.documentElement.scrollWidth").await;
            if wide.as_u64().unwrap() > u64::from(width) {
                too_wide.push(format!("{address} at {width}: {wide}"));
            }
            page.has_no_complaint();
        }
    }
    assert!(too_wide.is_empty(), "{too_wide:?}");
}

/// Those of the first page of the project and of the console: `cargo test -p newsroom --test browser -- --ignored docs`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the pictures of the docs"]
async fn the_pictures_of_the_docs() {
    let browser = Browser::start().await.expect("Chromium takes them");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/nexios-console/docs");
    let scene = Scene::begin().await;
    // Until every act of the scene has been played.
    tokio::time::sleep(WHOLE_SCENE).await;
    let mut request = None;
    for bucket in ["lt250ms", "lt500ms", "lt1s", "lt5s"] {
        let cell = format!("/api/v1/requests?route=GET%20/search&bucket={bucket}");
        let samples = scene.answer(&scene.stage.console(&cell)).await;
        request = samples["samples"][0]["id"].as_u64().or(request);
    }
    let request = request.expect("a search that took its time");
    let page = browser.page().await;
    page.theme("light").await;
    for (address, file) in [
        ("/requests".to_owned(), "requests.png"),
        (format!("/requests/{request}"), "request.png"),
    ] {
        page.size(1280, 400).await;
        page.open(&scene.stage.console(&address)).await;
        page.eventually("document.documentElement.dataset.stream === 'live'")
            .await;
        let file = docs.join(file);
        page.shoot(&file).await;
        let bytes = fs::metadata(&file).unwrap().len();
        assert!(bytes < 200_000, "{}: {bytes} bytes", file.display());
        page.has_no_complaint();
    }
}
