//! What becomes of requests, told by the pages.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use image::{GrayImage, Luma, codecs::jpeg::JpegEncoder};

use tokio::time::timeout;

use crate::{browser::Browser, page::Page, stage::Stage};

/// Opens the newest request of a cell of the grid, by its links.
async fn open_newest(page: &Page, stage: &Stage, route: &str, bucket: &str) {
    page.open(&stage.console("/requests")).await;
    let cell = format!("[data-route='{route}'] [data-bucket={bucket}] a");
    page.eventually_has(&cell).await;
    page.loaded(page.click(&cell)).await;
    page.loaded(page.click("#samples a")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_is_aborted_is_a_499_with_its_cleanup() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new().await;
    let page = browser.page().await;
    page.open(&stage.address).await;
    let leaves = "(async () => { const leaving = new AbortController(); setTimeout(() => leaving.abort(), 400); \
                  return await fetch('/protected-operation?mode=hang', { signal: leaving.signal }).then(() => 'answered', (error) => error.name) })()";
    assert_eq!(page.get(leaves).await, "AbortError");

    open_newest(&page, &stage, "GET /protected-operation", "cancelled").await;
    assert_eq!(page.text("h1").await, "GET /protected-operation");
    page.eventually("document.querySelector('[data-field=status]').innerText === '499'")
        .await;
    let reason = "document.querySelector('[data-field=reason]').dataset.reason";
    assert_eq!(page.get(reason).await, "client_disconnected");
    page.eventually_has("[data-kind=finalizer][data-state=completed]")
        .await;
    let pressing = "document.querySelector('[aria-label=Waterfall] [data-kind=child]').dataset";
    assert_eq!(
        page.get(&format!("{pressing}.state")).await,
        "cancelled",
        "what it had begun is there, and was given up"
    );
    page.has_no_complaint();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_race_names_its_winner() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new().await;
    let asked = "/search?q=rust&primary=slow&scan=slow";
    assert_eq!(stage.ask(asked).await, 200);

    let page = browser.page().await;
    page.open(&stage.console("/races")).await;
    page.eventually_has("[data-race=search]").await;
    let winner = "document.querySelector('[data-of=search][data-winner=replica] .num').innerText";
    assert_eq!(page.get(winner).await, "1");
    page.eventually_has("[data-race='replica reads']").await;

    page.open(&stage.console("/requests")).await;
    page.eventually_has("[data-route='GET /search'] a").await;
    page.loaded(page.click("[data-route='GET /search'] a"))
        .await;
    page.loaded(page.click("#samples a")).await;
    let won = "[...document.querySelectorAll('[aria-label=Waterfall] [data-kind=candidate]')].map((candidate) => \
               candidate.innerText.match(/primary|replica|scan/)[0] + ' ' + candidate.dataset.state).sort().join()";
    assert_eq!(page.get(won).await, "primary lost,replica won,scan lost");
    page.has_no_complaint();
}

/// A picture that takes long to be read for the memory that it takes.
fn noise() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    let noise = GrayImage::from_fn(3_000, 2_000, |_, _| Luma([random.u8(..)]));
    let mut file = Vec::new();
    noise
        .write_with_encoder(JpegEncoder::new_with_quality(&mut file, 40))
        .unwrap();
    file
}

/// Threads that take processor time until this is dropped.
struct Others(Arc<AtomicBool>);

impl Others {
    fn new(threads: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..threads {
            let over = over.clone();
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Others(over)
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_is_saturated_and_turns_away() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new().await;
    let page = browser.page().await;
    page.open(&stage.console("/pools")).await;
    let head = b"--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\n\r\n";
    let form = [&head[..], &noise(), b"\r\n--b--\r\n"].concat();
    let upload = |_| {
        let upload = stage.http.post(format!("{}/upload", stage.address));
        let upload = upload.header("content-type", "multipart/form-data; boundary=b");
        upload.body(form.clone()).send()
    };
    let pool = "document.querySelector('[data-pool=thumbnails]')";
    let saturated =
        format!("{pool}.dataset.state === 'saturated' && {pool}.innerText.includes('saturated')");
    let (is_seen, turned_away) = (Cell::new(false), Cell::new(0));
    // A machine that is busy with other things: an idle one reads as many pictures as there is memory for before the last of
    // them has waited too long.
    let others = Others::new(6);
    let crowd = async {
        while !is_seen.get() || turned_away.get() == 0 {
            let answers = join_all((0..40).map(upload)).await;
            let refused = answers
                .into_iter()
                .filter(|answer| answer.as_ref().unwrap().status() == 503);
            turned_away.set(turned_away.get() + refused.count());
        }
    };
    let look = async {
        page.eventually(&saturated).await;
        is_seen.set(true);
    };
    let both = async { tokio::join!(crowd, look) };
    timeout(Duration::from_secs(60), both)
        .await
        .expect("a full pool");
    drop(others);
    page.eventually(&format!(
        "Number({pool}.querySelector('[data-label=shed]').innerText) > 0"
    ))
    .await;
    page.eventually("Number(document.querySelector('[data-field=shed]').innerText) > 0")
        .await;
    page.has_no_complaint();

    open_newest(&page, &stage, "POST /upload", "failed").await;
    assert_eq!(page.text("[data-field=status]").await, "503");
    page.has_no_complaint();
}
