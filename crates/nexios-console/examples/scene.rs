//! A console full of made-up work, to look at: `cargo run -p nexios-console --example scene`, then
//! <http://127.0.0.1:7007/nexios>. Arguments: another address, and how many tasks live beside the rest.

use std::time::Duration;

use axum::{Router, response::Redirect, routing::get};
use nexios::{
    CancelReason, Candidate, ThreadPool,
    observe::{self, Outcome, Update},
    run_until_first_complete,
};
use nexios_console::Console;
use tokio::time::sleep;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let console = Console::builder()
        .service("newsroom")
        .loopback()
        .allow_actions()
        .build();
    tokio::spawn(play());
    let crowd = std::env::args()
        .nth(2)
        .and_then(|crowd| crowd.parse().ok())
        .unwrap_or(0);
    for _ in 0..crowd {
        tokio::spawn(observe::request("GET /long-poll").run(std::future::pending::<()>()));
    }
    let app = Router::new()
        .route("/", get(async || Redirect::to("/nexios/")))
        .nest_service("/nexios", console.router());
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    axum::serve(tokio::net::TcpListener::bind(address).await?, app).await
}

/// Requests of all sorts, again and again.
async fn play() {
    let pool = ThreadPool::builder()
        .name("thumbnails")
        .threads(2)
        .queue(8)
        .build();
    for round in 0_u64.. {
        tokio::spawn(dashboard(round));
        if round.is_multiple_of(3) {
            tokio::spawn(search(round));
        }
        if round.is_multiple_of(5) {
            tokio::spawn(upload());
            tokio::spawn(photo(pool.clone()));
        }
        if round.is_multiple_of(40) {
            // Everybody at once: the pool is full for a while.
            for _ in 0..12 {
                tokio::spawn(photo(pool.clone()));
            }
        }
        if round.is_multiple_of(2) {
            tokio::spawn(replicas(round));
        }
        if round.is_multiple_of(7) {
            tokio::spawn(stream());
        }
        tokio::spawn(page(round));
        sleep(Duration::from_millis(300)).await;
    }
}

async fn for_ms(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}

async fn page(round: u64) {
    let request = observe::request("GET /articles/{id}");
    request.update(&Update::Attribute {
        name: "uri",
        value: &format!("/articles/{round}"),
    });
    for_ms(round * 7 % 90).await;
    let status = if round.is_multiple_of(11) {
        "503"
    } else {
        "200"
    };
    request.update(&Update::Attribute {
        name: "status",
        value: status,
    });
    request.end(&if status == "200" {
        Outcome::Completed
    } else {
        Outcome::Failed(Some("the upstream is down"))
    });
}

async fn dashboard(round: u64) {
    let request = observe::request("GET /dashboard");
    request.update(&Update::Attribute {
        name: "uri",
        value: "/dashboard?user_id=7",
    });
    request.update(&Update::Attribute {
        name: "deadline_ms",
        value: "2000",
    });
    let is_slow = round.is_multiple_of(4);
    request
        .run(async move {
            let user = tokio::spawn(observe::custom("user").run(for_ms(40)));
            for_ms(12).await;
            let stories = observe::custom("stories").run(async {
                for_ms(60).await;
                observe::custom("thumbnails of the stories")
                    .run(for_ms(if is_slow { 900 } else { 120 }))
                    .await;
                observe::custom("<img src=x onerror=alert(1)>")
                    .run(for_ms(30))
                    .await;
            });
            let weather = observe::custom("weather").run(for_ms(180));
            tokio::join!(stories, weather);
            let _ = user.await;
        })
        .await;
}

async fn search(round: u64) {
    let request = observe::request("GET /search");
    request.update(&Update::Attribute {
        name: "uri",
        value: "/search?q=ada",
    });
    let replica = observe::custom("index");
    replica.update(&Update::Waiting {
        name: "daily totals",
        on: None,
    });
    for_ms(400 + round % 9 * 300).await;
    replica.update(&Update::Resumed);
    replica.update(&Update::Cancelling(CancelReason::ClientDisconnected));
    request.update(&Update::Cancelling(CancelReason::ClientDisconnected));
    for_ms(120).await;
    replica.end(&Outcome::Cancelled(CancelReason::ClientDisconnected));
    request.update(&Update::Attribute {
        name: "status",
        value: "499",
    });
    request.end(&Outcome::Cancelled(CancelReason::ClientDisconnected));
}

async fn upload() {
    let request = observe::request("POST /photos");
    let work = request.scope(|| observe::custom("resize 24 pictures"));
    for done in 0..=24 {
        work.update(&Update::Progress { done, total: 24 });
        work.update(&Update::Message("sharpening the edges"));
        for_ms(250).await;
    }
    drop(work);
    request.end(&Outcome::Completed);
}

async fn photo(pool: ThreadPool) {
    let work = pool.run(|| std::thread::sleep(Duration::from_millis(350)));
    let request = observe::request("POST /thumbnails");
    let _ = request.run(work).await;
}

async fn replicas(round: u64) {
    let answer = |ms: u64| async move {
        for_ms(ms).await;
        Ok::<_, std::io::Error>(ms)
    };
    let candidates = [
        Candidate::new("primary", answer(60)),
        Candidate::new("replica", answer(30 + round * 13 % 60)),
    ];
    let race = run_until_first_complete(candidates).name("search");
    let _ = observe::request("GET /stories/{id}").run(race).await;
}

async fn stream() {
    let request = observe::request("GET /events");
    request.run(for_ms(30_000)).await;
}
