//! `newsroom --play`: a scene that the service is played over real HTTP, for whoever looks at its console.
//!
//! It sends no newsletter: each would leave a file for every subscriber.

mod audience;
mod backstage;
mod picture;

use std::{net::SocketAddr, time::Duration};

use nexios::run_in_threadpool;
use tokio::{
    join,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use audience::Audience;

/// How long a scene takes.
const SCENE: Duration = Duration::from_secs(20);
/// Between two questions of those who only read.
const PACE: Duration = Duration::from_millis(300);
/// After so long, whoever leaves has left.
const PATIENCE: Duration = Duration::from_millis(900);
/// More pictures at the same time than there are threads and places in the queue.
const PHOTOGRAPHERS: usize = 64;
/// How long they come.
const RUSH: Duration = Duration::from_secs(3);

/// Plays the scene to the service at this address, again and again. Whoever drops it cancels what it has begun.
pub async fn play(address: SocketAddr) {
    let audience = Audience::of(address);
    let photo = run_in_threadpool(picture::photo).await;
    loop {
        join!(
            sleep(SCENE),
            readers(&audience),
            analysts(&audience),
            slow_upstream(&audience),
            one_who_leaves(&audience),
            stuttering_source(&audience),
            full_darkroom(&audience, &photo),
            new_numbers(&audience),
            backstage::export(),
            backstage::weather(),
        );
    }
}

async fn after(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

/// What goes on all the time, and well.
async fn readers(audience: &Audience) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = Instant::now() + SCENE;
    for turn in 0.. {
        if pace.tick().await > end {
            break;
        }
        let dashboard = format!("/dashboard?user_id={}", turn % 7 + 1);
        let word = ["rust", "election", "weather", "deadline"][turn % 4];
        let search = format!("/search?q={word}");
        join!(audience.get(&dashboard), audience.get(&search));
    }
}

/// Two at a time: while the sums are computed, one computes and the other waits.
async fn analysts(audience: &Audience) {
    let end = Instant::now() + SCENE;
    while Instant::now() < end {
        let daily = "/analytics/daily?page=/sport";
        join!(after(1), audience.get(daily), audience.get(daily));
    }
}

async fn slow_upstream(audience: &Audience) {
    after(1).await;
    join!(
        audience.get("/dashboard?user_id=3&delay_ms=1400"),
        // Longer than the dashboard waits: 504.
        audience.get("/dashboard?user_id=4&delay_ms=5000"),
    );
    // 502.
    audience.get("/dashboard?user_id=5&status=503").await;
}

async fn one_who_leaves(audience: &Audience) {
    for wait in [3, 8] {
        after(wait).await;
        // 499, and a cleanup that goes on when nobody is there any more.
        audience
            .leave("/protected-operation?mode=hang", PATIENCE)
            .await;
    }
    audience.get("/protected-operation?mode=fail").await;
}

async fn stuttering_source(audience: &Audience) {
    after(5).await;
    for _ in 0..3 {
        audience
            .get("/search?q=rust&primary=slow&replica=stutter&scan=slow")
            .await;
        audience.get("/search?q=rust&primary=slow").await;
        audience
            .get("/search?q=rust&primary=fail&replica=fail")
            .await;
    }
    audience
        .get("/search?q=rust&primary=fail&replica=fail&scan=fail")
        .await;
}

/// The thumbnails are saturated, and some who bring pictures are told to come again: 503.
async fn full_darkroom(audience: &Audience, photo: &[u8]) {
    after(9).await;
    let uploads = (0..PHOTOGRAPHERS).map(|_| audience.upload_for(RUSH, photo));
    futures_util::future::join_all(uploads).await;
}

async fn new_numbers(audience: &Audience) {
    after(14).await;
    audience.post("/analytics/reset").await;
    after(2).await;
    audience.get("/analytics/daily?refresh=1").await;
}
