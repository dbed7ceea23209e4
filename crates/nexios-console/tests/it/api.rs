//! The JSON of work as it really runs.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use nexios::{
    AsyncLazy, AsyncLazyMap, Background, CancelReason, Candidate, Hedge, ThreadPool,
    observe::{self, Outcome, Update, WorkId},
    run_until_first_complete,
};
use nexios_console::{Access, Console};
use serde_json::Value;
use tower::ServiceExt;

fn console() -> Router {
    Router::new().nest(
        "/nexios",
        Console::builder().dangerously_public().build().router(),
    )
}

/// One whose visitors may act.
fn acting() -> Router {
    let console = Console::builder().access(|_| Access::Act).allow_actions();
    Router::new().nest("/nexios", console.build().router())
}

async fn get(router: &Router, path: &str) -> Value {
    let request = Request::get(format!("/nexios/api/v1{path}"))
        .body(Body::empty())
        .expect("a request");
    let response = router.clone().oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), 200, "{path}");
    let body = to_bytes(response.into_body(), usize::MAX)
        .await
        .expect("a body");
    serde_json::from_slice(&body).expect("JSON")
}

fn spans(request: &Value) -> Vec<&Value> {
    request["spans"].as_array().into_iter().flatten().collect()
}

fn id(work: Option<WorkId>) -> u64 {
    work.expect("observed").0
}

#[tokio::test(start_paused = true)]
async fn a_request_is_shown_with_its_race_and_its_pool_job() {
    let router = console();
    let request = observe::request("GET /race-and-job");
    let number = id(request.id());
    request.update(&Update::Attribute {
        name: "status",
        value: "200",
    });
    request.update(&Update::Attribute {
        name: "uri",
        value: "/race-and-job?user=7",
    });
    let pool = ThreadPool::builder().name("api test").threads(1).build();
    let work = async {
        let sleeper = |millis| async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok::<_, std::io::Error>(millis)
        };
        let candidates = [
            Candidate::new("slow", sleeper(900)),
            Candidate::new("fast", sleeper(40)),
        ];
        let won = run_until_first_complete(candidates)
            .name("api race")
            .await
            .expect("a winner");
        pool.run(move || won).await.expect("a job")
    };
    assert_eq!(request.run(work).await, 40);

    let shown = get(&router, &format!("/requests/{number}")).await;
    assert_eq!(
        (&shown["route"], &shown["status"], &shown["state"]),
        (
            &"GET /race-and-job".into(),
            &200.into(),
            &"completed".into()
        )
    );
    assert_eq!(
        shown["uri"], "•••",
        "everybody may look, and not everybody may read it"
    );
    let spans = spans(&shown);
    let named = |name: &str| {
        *spans
            .iter()
            .find(|span| span["name"] == name)
            .expect("a span with this name")
    };
    let (race, slow, fast) = (named("api race"), named("slow"), named("fast"));
    assert_eq!(
        (&race["winner"], &race["parent"]),
        (&fast["id"], &number.into())
    );
    assert_eq!(
        (&fast["state"], &slow["state"]),
        (&"won".into(), &"lost".into())
    );
    assert_eq!(
        (&fast["critical"], &slow["critical"]),
        (&true.into(), &false.into())
    );
    let job = spans
        .iter()
        .find(|span| span["kind"] == "pool_job")
        .expect("a job");
    assert_eq!(
        (&job["owner"], &job["state"]),
        (&"api test".into(), &"completed".into())
    );

    let races = get(&router, "/races").await;
    let race = races["races"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|race| race["name"] == "api race")
        .cloned();
    assert_eq!(
        race.expect("a race")["wins"],
        serde_json::json!({"fast": 1, "slow": 0})
    );
    let pools = get(&router, "/pools").await;
    let pool = pools["pools"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|pool| pool["name"] == "api test");
    assert_eq!(pool.map(|pool| &pool["completed"]), Some(&1.into()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_left_is_found_in_the_grid_as_cancelled() {
    let router = console();
    let request = observe::request("GET /left");
    tokio::time::advance(Duration::from_millis(812)).await;
    request.update(&Update::Cancelling(CancelReason::ClientDisconnected));
    let running = get(&router, "/running?state=cancelling&name=left").await;
    assert_eq!(running["work"][0]["reason"], "client_disconnected");
    tokio::time::advance(Duration::from_millis(43)).await;
    let number = id(request.id());
    request.end(&Outcome::Cancelled(CancelReason::ClientDisconnected));
    let cell = get(&router, "/requests?route=GET%20/left&bucket=cancelled").await;
    let sample = &cell["samples"][0];
    assert_eq!(
        (&sample["id"], &sample["status"], &sample["duration_ms"]),
        (&number.into(), &499.into(), &812.0.into())
    );
    assert_eq!(
        get(&router, &format!("/requests/{number}")).await["cleanup_ms"],
        43.0
    );
}

#[tokio::test]
async fn the_consoles_own_requests_are_not_shown() {
    let router = console();
    let own = observe::request("GET /nexios/api/v1/running");
    let running = own.run(get(&router, "/running?name=/nexios/api")).await;
    assert_eq!(running["total"], 0);
    let routes = get(&router, "/requests").await;
    let mut routes = routes["routes"].as_array().into_iter().flatten();
    assert!(routes.all(|route| route["route"] != "GET /nexios/api/v1/running"));
}

#[tokio::test]
async fn a_poll_that_blocks_is_named_by_a_lint() {
    let router = console();
    let work = observe::custom("blocking parse");
    let number = id(work.id());
    work.run(async { std::thread::sleep(Duration::from_millis(150)) })
        .await;
    let lints = get(&router, "/lints").await;
    let mut lints = lints["lints"].as_array().into_iter().flatten();
    let lint = lints.find(|lint| lint["work"] == number).expect("a lint");
    assert_eq!(lint["lint"], "slow-poll");
    let text = lint["text"].as_str().unwrap_or_default();
    assert!(
        text.contains("blocking parse") && text.contains("tests/it/api.rs"),
        "{text}"
    );
}

#[tokio::test]
async fn a_hedge_is_listed_with_what_it_counts() {
    let hedge = Hedge::builder().name("api hedge").build();
    hedge
        .run(|_| async { Ok::<_, std::io::Error>(1) })
        .await
        .expect("an answer");
    let router = console();
    let listed = async || {
        let races = get(&router, "/races").await;
        races["races"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|race| race["name"] == "api hedge")
            .cloned()
    };
    let before = listed().await.expect("it lived before the console");
    assert_eq!(
        (
            &before["kind"],
            &before["calls"],
            &before["hedges"]["started"]
        ),
        (&"hedge".into(), &0.into(), &0.into())
    );
    hedge
        .run(|_| async { Ok::<_, std::io::Error>(1) })
        .await
        .expect("an answer");
    let after = listed().await.expect("it lives");
    assert_eq!(
        (&after["calls"], &after["wins"]["attempt 1"]),
        (&1.into(), &1.into())
    );
}

#[tokio::test]
async fn what_has_a_long_name_is_one_thing() {
    let router = console();
    let long = |name: &str| format!("{name} {}", "é".repeat(100));
    let lazy = AsyncLazy::builder(async || Err::<u8, _>("no"))
        .name(long("api lazy"))
        .build();
    assert!(lazy.get().await.is_err());
    let hedge = Hedge::builder().name(long("api hedge of many")).build();
    let answer = hedge.run(|_| async { Ok::<_, std::io::Error>(1) }).await;
    assert_eq!(answer.ok(), Some(1));

    let named = |list: &Value, start: &str| -> Vec<Value> {
        let all = list.as_array().into_iter().flatten();
        let named = all.filter(|shown| {
            shown["name"]
                .as_str()
                .is_some_and(|name| name.starts_with(start))
        });
        named.cloned().collect()
    };
    let lazies = named(&get(&router, "/lazies").await["lazies"], "api lazy");
    assert_eq!(lazies[0]["last_error"]["state"], "failed", "{lazies:?}");
    let races = named(&get(&router, "/races").await["races"], "api hedge of many");
    assert_eq!(
        (races.len(), &races[0]["calls"]),
        (1, &1.into()),
        "{races:?}"
    );
}

#[tokio::test]
async fn a_pool_names_who_has_run_longest() {
    let router = console();
    let pool = ThreadPool::builder().name("api longest").threads(2).build();
    let work = observe::request("GET /longest");
    let request = id(work.id());
    let job = |held: std::sync::mpsc::Receiver<()>| {
        let pool = pool.clone();
        async move { pool.run(move || held.recv()).await }
    };
    let ((first, held), (second, held_too)) =
        (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let running = tokio::spawn(work.run(job(held)));
    let until = async |count: usize| {
        while pool.stats().running < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    until(1).await;
    let other = tokio::spawn(job(held_too));
    until(2).await;
    let pools = get(&router, "/pools").await;
    let mut pools = pools["pools"].as_array().into_iter().flatten();
    let shown = pools
        .find(|pool| pool["name"] == "api longest")
        .expect("a pool");
    let longest = &shown["oldest_running"];
    assert_eq!(
        (&longest["request"], &longest["route"]),
        (&request.into(), &"GET /longest".into()),
        "{shown}"
    );
    let page = Request::get("/nexios/pools")
        .body(Body::empty())
        .expect("a request");
    let page = router
        .clone()
        .oneshot(page)
        .await
        .expect("infallible")
        .into_body();
    let page = to_bytes(page, usize::MAX).await.expect("a page");
    let link = format!("href=\"./requests/{request}#work-{}\"", longest["id"]);
    assert!(String::from_utf8_lossy(&page).contains(&link), "{link}");
    drop((first, second));
    let _ = (running.await, other.await);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_had_a_job_a_while_ago_was_idle_since() {
    let router = console();
    let pool = ThreadPool::builder().name("api idle").threads(1).build();
    pool.run(|| ()).await.expect("a job");
    tokio::time::advance(Duration::from_secs(5)).await;
    let pools = get(&router, "/pools").await;
    let pool = pools["pools"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|pool| pool["name"] == "api idle");
    let history = pool.expect("a pool")["history"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let running: Vec<_> = history.iter().map(|second| &second[1]).collect();
    assert!(
        !running.is_empty() && running.iter().all(|running| **running == 0),
        "{history:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn background_tasks_are_shown_with_their_registry_and_schedules_with_their_next_run() {
    let router = console();
    let background = Background::builder().name("api tasks").build();
    let request = observe::request("POST /export");
    let export = request.scope(|| {
        background.spawn("api export", async |cx| {
            cx.progress(1, 4);
            cx.cancelled().await;
        })
    });
    let export = export.expect("there is room");
    let schedule = background
        .every("api schedule", Duration::from_secs(60), async |_| {})
        .expect("there is room");
    tokio::time::sleep(Duration::from_secs(1)).await;

    let shown = get(&router, "/background").await;
    let named = |list: &str, name: &str| {
        let mut all = shown[list].as_array().into_iter().flatten();
        all.find(|shown| shown["name"] == name)
            .cloned()
            .unwrap_or_default()
    };
    let task = named("tasks", "api export");
    assert_eq!(task["id"], export.id().0);
    assert_eq!(task["registry"], "api tasks");
    assert_eq!(task["link"], id(request.id()));
    assert_eq!(task["state"], "running");
    assert_eq!(
        (&task["progress"]["done"], &task["progress"]["total"]),
        (&1.into(), &4.into())
    );
    let next = named("schedules", "api schedule")["next_unix_ms"].as_u64();
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("after 1970");
    let away = u128::from(next.expect("it is told")).abs_diff(now.as_millis() + 60_000);
    assert!(away < 60_000, "{next:?}");

    export.cancel();
    assert_eq!(export.await, Ok(()));
    drop(schedule);
    let shown = get(&router, "/background").await;
    let mut tasks = shown["tasks"].as_array().into_iter().flatten();
    let task = tasks.find(|task| task["name"] == "api export");
    assert_eq!(task.map(|task| &task["state"]), Some(&"completed".into()));
}

/// The page behind an address, as text.
async fn page(router: &Router, path: &str) -> String {
    let request = Request::get(format!("/nexios{path}"))
        .body(Body::empty())
        .expect("a request");
    let answer = router.clone().oneshot(request).await.expect("infallible");
    let page = to_bytes(answer.into_body(), usize::MAX)
        .await
        .expect("a page");
    String::from_utf8(page.to_vec()).expect("text")
}

/// The numbers of all that have this name.
fn numbers(list: &Value, name: &str) -> Vec<u64> {
    let all = list.as_array().into_iter().flatten();
    let named = all.filter(|shown| shown["name"] == name);
    named.filter_map(|shown| shown["id"].as_u64()).collect()
}

#[tokio::test]
async fn two_things_of_one_name_are_both_shown_and_told_apart() {
    let router = console();
    let pools = [1, 2].map(|threads| {
        ThreadPool::builder()
            .name("api twins")
            .threads(threads)
            .build()
    });
    let lazies = [Ok(1), Err("no")].map(|answer| {
        AsyncLazy::builder(move || std::future::ready(answer))
            .name("api twins")
            .build()
    });
    let hedges = [1, 2].map(|_| Hedge::builder().name("api twins").build());
    for pool in &pools {
        pool.run(|| ()).await.expect("it runs");
    }
    for lazy in &lazies {
        let _ = lazy.get().await;
    }
    for hedge in &hedges {
        let answer = hedge.run(|_| async { Ok::<_, std::io::Error>(1) }).await;
        assert_eq!(answer.ok(), Some(1));
    }

    for (list, thing) in [("pools", "pool"), ("lazies", "lazy")] {
        let ids = numbers(&get(&router, &format!("/{list}")).await[list], "api twins");
        assert_eq!(ids.len(), 2, "{list}");
        let page = page(&router, &format!("/{list}")).await;
        for id in ids {
            let row = format!("id=\"{thing}-{id}\"");
            assert_eq!(page.matches(&row).count(), 1, "{row} in {page}");
            assert!(page.contains(&format!("<small>#{id}</small>")), "{page}");
        }
    }
    let lists = get(&router, "/lazies").await;
    let errors = lists["lazies"].as_array().into_iter().flatten();
    let errors: Vec<bool> = errors
        .filter(|lazy| lazy["name"] == "api twins")
        .map(|lazy| lazy["last_error"].is_null())
        .collect();
    assert_eq!(errors, [true, false], "each has its own");

    let races = get(&router, "/races").await;
    let mut races = races["races"].as_array().into_iter().flatten();
    let both = races.find(|race| race["name"] == "api twins").expect("one");
    assert!(races.all(|race| race["name"] != "api twins"));
    assert_eq!(
        (&both["calls"], both["each"].as_array().map(Vec::len)),
        (&2.into(), Some(2))
    );
    let page = page(&router, "/races").await;
    for one in both["each"].as_array().into_iter().flatten() {
        assert!(page.contains(&format!("#{}: ", one["id"])), "{page}");
    }
}

#[tokio::test]
async fn a_map_of_lazy_values_has_no_button_that_cannot_refresh_it() {
    let router = acting();
    let map = AsyncLazyMap::builder(8, async |key: u8| Ok::<_, ()>(key))
        .name("api map")
        .build();
    for key in 0..3 {
        assert_eq!(map.get(&key).await.ok().map(|value| *value), Some(key));
    }
    let lazy = AsyncLazy::builder(async || Ok::<_, ()>(1))
        .name("api single")
        .build();
    assert!(lazy.get().await.is_ok());
    let lists = get(&router, "/lazies").await;
    let (map, single) = (
        numbers(&lists["lazies"], "api map")[0],
        numbers(&lists["lazies"], "api single")[0],
    );
    let page = page(&router, "/lazies").await;
    for (action, offered) in [
        (format!("actions/refresh/{map}\""), false),
        (format!("actions/reset/{map}\""), true),
        (format!("actions/refresh/{single}\""), true),
    ] {
        assert_eq!(page.contains(&action), offered, "{action} in {page}");
    }
    assert!(page.contains("<span class=\"kind\">map</span>"), "{page}");
}
