//! A service in trouble, to look at: `cargo run -p nexios-console --example on_fire -- upstream`, then
//! <http://127.0.0.1:7009/nexios>. The service itself is on port 7008.
//!
//! | scene | what goes wrong |
//! |---|---|
//! | `upstream` | one of the services that the dashboard asks has become slow |
//! | `pool` | more pictures come than the pool has threads and places for |
//! | `storm` | clients leave before their report is there |
//! | `lazy` | the computation that many wait for fails |
//! | `task` | a background task was cancelled, and goes on |
//! | `shutdown` | the service was told to stop, and cannot |
//!
//! What the pages say in each, and what to do, is in `docs/operating.md`.
#![allow(clippy::print_stdout, reason = "whoever starts it reads where to look")]

use std::{
    env, thread,
    time::{Duration, Instant},
};

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use nexios::{
    AsyncLazy, Background, Candidate, Delay, Hedge, Overload, TaskGroup, ThreadPool,
    run_until_first_complete,
};
use nexios_axum::{NexiosApp, Problem};
use nexios_console::Console;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

const SERVICE: &str = "127.0.0.1:7008";
const CONSOLE: &str = "127.0.0.1:7009";
/// When trouble comes to a service that was well until then.
const QUIET: Duration = Duration::from_secs(4);
const SCENES: [&str; 6] = ["upstream", "pool", "storm", "lazy", "task", "shutdown"];

#[derive(Clone)]
struct Shop {
    pictures: ThreadPool,
    replicas: &'static Hedge,
    rates: &'static AsyncLazy<f64, String>,
    trouble: Trouble,
}

#[derive(Clone, Copy)]
struct Trouble {
    scene: &'static str,
    begins: Instant,
}

impl Trouble {
    fn is(self, scene: &str) -> bool {
        self.scene == scene && Instant::now() > self.begins
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let asked = env::args().nth(1).unwrap_or_default();
    let Some(scene) = SCENES.into_iter().find(|scene| **scene == *asked) else {
        return Err(format!("which scene? {}", SCENES.join(", ")).into());
    };
    let trouble = Trouble {
        scene,
        begins: Instant::now() + QUIET,
    };
    let console = Console::builder()
        .service("shop")
        .loopback()
        .allow_actions()
        .build();
    let app = NexiosApp::new(service(Shop::new(trouble)))
        .admin(
            CONSOLE,
            Router::new().nest_service("/nexios", console.router()),
        )
        .shutdown_limit(Duration::from_secs(600))
        .cancelling(Duration::from_secs(590));
    let handle = app.handle();
    let people = async {
        handle.ready().await;
        println!("http://{CONSOLE}/nexios");
        // Only the trouble ends the scene.
        tokio::join!(readers(), in_trouble(trouble));
        if trouble.scene == "shutdown" {
            sleep(Duration::from_secs(2)).await;
            handle.stop();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = app.serve(SERVICE) => drop(ended?),
        () = people => {}
    }
    Ok(())
}

impl Shop {
    fn new(trouble: Trouble) -> Self {
        let replicas = Hedge::builder()
            .name("stock replicas")
            .max_attempts(2)
            .delay(Delay::Fixed(Duration::from_millis(30)))
            .budget(0.5)
            .build();
        let rates = AsyncLazy::builder(move || async move {
            sleep(Duration::from_millis(900)).await;
            match trouble.is("lazy") {
                true => Err("the bank answers 503".to_owned()),
                false => Ok(1.08),
            }
        });
        Self {
            pictures: ThreadPool::builder()
                .name("pictures")
                .threads(2)
                .queue(8)
                .overload(Overload::ShedAfter(Duration::from_secs(3)))
                .build(),
            replicas: Box::leak(Box::new(replicas)),
            rates: Box::leak(Box::new(
                rates
                    .name("exchange rates")
                    .ttl(Duration::from_secs(3))
                    .build(),
            )),
            trouble,
        }
    }
}

fn service(shop: Shop) -> Router {
    Router::new()
        .route("/dashboard", get(dashboard))
        .route("/pictures", get(picture))
        .route("/reports/{year}", get(report))
        .route("/prices", get(prices))
        .route("/archive", get(archive))
        .with_state(shop)
}

async fn for_ms(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}

/// Asks several services at once; what comes of it is drawn by the pool.
async fn dashboard(State(shop): State<Shop>) -> Result<String, Problem> {
    let profile_ms = if shop.trouble.is("upstream") {
        4_200
    } else {
        45
    };
    let group = TaskGroup::builder().name("dashboard").build();
    let page = group.run(async {
        let user = group.spawn_named("user", async {
            for_ms(18).await;
            Ok::<_, Problem>("ada")
        });
        let profile = group.spawn_named("profile service", async {
            for_ms(profile_ms).await;
            Ok("likes tea")
        });
        let offers = group.spawn_named("offers", async {
            let shops = [("nearby", 38), ("cheapest", 95)].map(|(name, ms)| {
                Candidate::new(name, async move {
                    for_ms(ms).await;
                    Ok::<_, String>(name)
                })
            });
            Ok(run_until_first_complete(shops).name("offers").await?)
        });
        let stock = group.spawn_named("stock", async {
            let answer = async |ms| {
                for_ms(ms).await;
                Ok::<_, String>(7)
            };
            let answers = shop
                .replicas
                .run(|attempt| answer(if attempt.number == 1 { 110 } else { 20 }));
            Ok(answers.await?)
        });
        let facts = format!(
            "{} {} {} {}",
            user.await?,
            profile.await?,
            offers.await?,
            stock.await?
        );
        let drawn = shop
            .pictures
            .run(|| thread::sleep(Duration::from_millis(35)));
        drawn.await?;
        Ok::<_, Problem>(facts)
    });
    page.await
}

async fn picture(State(shop): State<Shop>) -> Result<&'static str, Problem> {
    let ms = if shop.trouble.is("pool") { 1_800 } else { 40 };
    let drawing = move || thread::sleep(Duration::from_millis(ms));
    shop.pictures.run(drawing).await?;
    Ok("a picture")
}

/// Takes long; what it has begun is cleaned up whatever becomes of it.
async fn report(State(shop): State<Shop>) -> Result<&'static str, Problem> {
    let ms = if shop.trouble.is("storm") { 6_000 } else { 90 };
    let group = TaskGroup::builder().name("report").build();
    group.defer(for_ms(120));
    let report = group.run(async {
        let sums = group.spawn_named("sum of all orders", async {
            for_ms(ms).await;
            Ok::<_, Problem>(())
        });
        sums.await?;
        Ok("a report")
    });
    report.await
}

async fn prices(State(shop): State<Shop>) -> Result<impl IntoResponse, Problem> {
    let rate = shop.rates.get().await?;
    Ok(format!("{rate}"))
}

/// Streams for minutes, and does not hear that it should end.
async fn archive() -> &'static str {
    let _work = nexios::observe::custom("pack the archive");
    // A task of its own, as code has that knows nothing of cancelling.
    let packing = tokio::spawn(for_ms(300_000));
    let _ = packing.await;
    "the archive"
}

/// Those who only look.
async fn readers() {
    tokio::spawn(async {
        loop {
            tokio::spawn(ask("/dashboard"));
            tokio::spawn(ask("/prices"));
            tokio::spawn(ask("/pictures"));
            tokio::spawn(ask("/reports/2026"));
            for_ms(150).await;
        }
    });
}

async fn in_trouble(trouble: Trouble) {
    sleep(trouble.begins - Instant::now() + Duration::from_millis(1)).await;
    match trouble.scene {
        "pool" => drop(tokio::spawn(async {
            loop {
                tokio::spawn(ask("/pictures"));
                for_ms(200).await;
            }
        })),
        "storm" => drop(tokio::spawn(async {
            loop {
                tokio::spawn(timeout(Duration::from_millis(700), ask("/reports/2025")));
                for_ms(40).await;
            }
        })),
        "task" | "shutdown" => {
            let task = Background::global().spawn("rebuild the search index", async |task| {
                for done in 0_u64.. {
                    // What it ought to look at here, and does not, is whether it is cancelled.
                    task.progress(done % 900, 900);
                    task.message(format!("{done} entries written"));
                    for_ms(300).await;
                }
            });
            if trouble.scene == "task"
                && let Ok(task) = task
            {
                for_ms(1_000).await;
                task.cancel();
            } else {
                tokio::spawn(ask("/archive"));
            }
        }
        _ => {}
    }
}

/// A client that has left when this is dropped.
async fn ask(path: &str) -> std::io::Result<()> {
    let mut connection = TcpStream::connect(SERVICE).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {SERVICE}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    connection.read_to_end(&mut Vec::new()).await?;
    Ok(())
}
