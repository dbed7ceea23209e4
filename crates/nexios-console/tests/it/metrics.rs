//! Numbers for Prometheus.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
};

use axum::Router;
use nexios::{
    AsyncLazy, CancelReason, Candidate, Hedge, ThreadPool,
    observe::{self, Outcome, Update},
    run_until_first_complete,
};
use nexios_console::{Console, Metrics};
use prometheus_client::metrics::counter::Counter;

use crate::asking::{ask, get, nested};

pub(crate) async fn told(metrics: &Metrics) -> String {
    get(&metrics.router(), "/metrics").await.body
}

/// Some of everything that can be made from outside.
fn work() {
    let request = observe::request("GET /quote/{id}");
    request.scope(|| {
        drop(observe::custom("price"));
        observe::custom("price").end(&Outcome::Failed(Some("no answer")));
        observe::custom("price").end(&Outcome::Panicked("oh"));
        observe::custom("price").end(&Outcome::TimedOut);
    });
    request.update(&Update::Cancelling(CancelReason::ClientDisconnected));
    request.end(&Outcome::Cancelled(CancelReason::ClientDisconnected));
    drop(observe::request("GET /quote/{id}"));
}

#[tokio::test]
async fn work_is_counted_under_its_name() {
    let metrics = Metrics::new();
    work();
    let live = observe::custom("export");
    let text = told(&metrics).await;
    for line in [
        "nexios_task_duration_seconds_count{nexios_task_name=\"price\",nexios_outcome=\"success\"} 1",
        "nexios_task_duration_seconds_count{nexios_task_name=\"price\",nexios_outcome=\"failure\",error_type=\"_OTHER\"} 1",
        "nexios_task_duration_seconds_count{nexios_task_name=\"price\",nexios_outcome=\"failure\",error_type=\"panic\"} 1",
        "nexios_task_duration_seconds_count{nexios_task_name=\"price\",nexios_outcome=\"timeout\",error_type=\"deadline_exceeded\"} 1",
        "nexios_task_active{nexios_task_name=\"price\"} 0",
        "nexios_task_active{nexios_task_name=\"export\"} 1",
        "nexios_task_queue_duration_seconds_count{nexios_task_name=\"price\"} 4",
        "nexios_request_cancellations_total{http_route=\"/quote/{id}\",reason=\"client_disconnect\"} 1",
        "nexios_request_cleanup_duration_seconds_count{http_route=\"/quote/{id}\",result=\"finished\"} 1",
    ] {
        assert!(text.lines().any(|told| told == line), "{line}\n{text}");
    }
    drop(live);
}

#[tokio::test]
async fn each_reader_has_its_own_text() {
    let metrics = Metrics::new();
    work();
    let router = metrics.router();
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    for (accept, is_open) in [
        ("", false),
        ("*/*", false),
        ("text/plain", false),
        ("application/openmetrics-text", true),
        ("Application/OpenMetrics-Text; version=1.0.0", true),
        (prometheus, true),
        ("application/openmetrics-text;q=0, text/plain", false),
        ("text/plain, application/openmetrics-text;q=0.5", false),
    ] {
        let answer = ask(&router, "GET", "/metrics", &[("accept", accept)]).await;
        let kind = answer.header("content-type");
        if is_open {
            assert_eq!(
                kind, "application/openmetrics-text; version=1.0.0; charset=utf-8",
                "{accept}"
            );
            assert!(
                answer.body.ends_with("# EOF\n")
                    && answer
                        .body
                        .contains("# UNIT nexios_task_duration_seconds seconds")
            );
            assert!(
                answer
                    .body
                    .contains("# TYPE nexios_request_cancellations counter")
            );
        } else {
            assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8", "{accept}");
            assert!(!answer.body.contains("# EOF") && !answer.body.contains("# UNIT"));
            assert!(
                answer
                    .body
                    .contains("# TYPE nexios_request_cancellations_total counter")
            );
            assert!(
                answer
                    .body
                    .contains("# HELP nexios_request_cancellations_total ")
            );
        }
    }
}

#[tokio::test]
async fn a_label_has_at_most_200_values() {
    let metrics = Metrics::new();
    for name in 0..5_000 {
        drop(observe::custom(format!("order {name}")));
    }
    let text = told(&metrics).await;
    let names: std::collections::BTreeSet<&str> = text
        .split("nexios_task_name=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(names.len(), 201, "200 and the rest");
    assert!(
        text.contains("nexios_task_queue_duration_seconds_count{nexios_task_name=\"_other\"} 48"),
        "{text}"
    );
    assert!(text.len() < 2_000_000, "{}", text.len());
}

#[tokio::test]
async fn what_lives_long_tells_of_itself() {
    let metrics = Metrics::new();
    let text = told(&metrics).await;
    for name in [
        "nexios_pool_limit",
        "nexios_pool_usage",
        "nexios_pool_queue_length",
        "nexios_lazy_reads_total",
        "nexios_lazy_state",
        "nexios_lazy_age_seconds",
        "nexios_shutdown_abandoned_total",
    ] {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name}\n{text}");
    }
}

/// A text with the same series twice is refused as a whole.
#[tokio::test]
async fn things_of_one_name_are_one_series_with_their_sum() {
    let metrics = Metrics::new();
    let pools = [2, 3].map(|threads| {
        ThreadPool::builder()
            .name("metrics twins")
            .threads(threads)
            .build()
    });
    let lazies = [1, 2].map(|value| {
        AsyncLazy::builder(move || std::future::ready(Ok::<_, ()>(value)))
            .name("metrics twins")
            .build()
    });
    let hedges = [1, 2].map(|_| Hedge::builder().name("metrics twins").build());
    for pool in &pools {
        pool.run(|| ()).await.unwrap();
    }
    for lazy in &lazies {
        lazy.get().await.unwrap();
    }
    for hedge in &hedges {
        let answer = hedge.run(|_| async { Ok::<_, std::io::Error>(1) }).await;
        answer.unwrap();
    }
    let text = told(&metrics).await;
    let series = |line: &&str| !line.starts_with('#');
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(series) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        assert!(seen.insert(series), "twice: {series}");
    }
    for line in [
        "nexios_pool_limit{nexios_pool_name=\"metrics twins\"} 5",
        "nexios_lazy_reads_total{nexios_lazy_name=\"metrics twins\",result=\"miss\"} 2",
    ] {
        assert!(text.lines().any(|told| told == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn a_name_is_escaped() {
    let metrics = Metrics::new();
    drop(observe::custom("a \"quote\"\nand a line \\"));
    assert!(
        told(&metrics)
            .await
            .contains(r#"nexios_task_name="a \"quote\"\nand a line \\""#)
    );
}

#[tokio::test]
async fn a_metric_of_ones_own_is_told_too() {
    let metrics = Metrics::default();
    let orders: Counter = Counter::default();
    metrics
        .registry()
        .register("orders", "Orders that were taken", orders.clone());
    orders.inc();
    assert!(told(&metrics).await.contains("\norders_total 1\n"));
}

#[tokio::test]
async fn nothing_is_counted_after_the_last_clone_is_gone() {
    let metrics = Metrics::new();
    let router: Router = metrics.router();
    drop(metrics);
    drop(observe::custom("through the router"));
    assert!(
        get(&router, "/metrics")
            .await
            .body
            .contains("through the router")
    );
}

#[tokio::test]
async fn the_console_has_its_numbers_behind_its_door() {
    let router = nested(&Console::builder().bearer("t0ken").build());
    assert_eq!(get(&router, "/nexios/metrics").await.status, 401);
    let answer = ask(
        &router,
        "GET",
        "/nexios/metrics",
        &[("authorization", "Bearer t0ken")],
    )
    .await;
    assert!(answer.body.contains("nexios_pool_limit"));
}

#[tokio::test(start_paused = true)]
async fn what_looks_at_the_console_is_not_counted() {
    let console = Console::builder().loopback().build();
    let router = nested(&console);
    let looking = observe::request("GET /nexios/events").run(async {
        let answer = get(&router, "/nexios/api/v1/status").await;
        assert_eq!(answer.status, 200);
        std::future::pending::<()>().await;
    });
    let waits = std::time::Duration::from_secs(1);
    assert!(tokio::time::timeout(waits, looking).await.is_err(), "left");
    let text = get(&router, "/nexios/metrics").await.body;
    assert!(!text.contains("/nexios/events"), "{text}");
}

#[tokio::test]
async fn a_first_attempt_is_no_hedge_whatever_its_label_is() {
    let metrics = Metrics::new();
    let crowd = (0..250).map(|number| {
        Candidate::new(format!("mirror {number}"), async {
            Ok::<_, std::io::Error>(1)
        })
    });
    run_until_first_complete(crowd).await.unwrap();
    let hedge = Hedge::builder().name("after the crowd").build();
    let answer = hedge.run(|_| async { Ok::<_, std::io::Error>(1) }).await;
    assert_eq!(answer.unwrap(), 1);
    let text = told(&metrics).await;
    let won = "nexios_race_wins_total{nexios_race_name=\"after the crowd\",winner=\"_other\"} 1";
    assert!(text.lines().any(|told| told == won), "{text}");
    let hedges = "nexios_race_hedges_total{nexios_race_name=\"after the crowd\"";
    assert!(!text.contains(hedges), "{text}");
}

#[tokio::test]
async fn promtool_accepts_the_text() {
    let metrics = Metrics::new();
    work();
    let text = told(&metrics).await;
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut tool) = tool else {
        let said = "SKIPPED: there is no promtool, the text of the metrics was not checked";
        assert!(std::env::var_os("NEXIOS_SKIP_NOTHING").is_none(), "{said}");
        // Said aloud, so that nobody takes silence for a check.
        let _ = writeln!(std::io::stderr(), "{said}");
        return;
    };
    tool.stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = tool.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{text}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn pools_races_and_groups_are_counted_as_they_run() {
    let metrics = Metrics::new();
    let pool = ThreadPool::builder()
        .name("metrics test")
        .threads(1)
        .queue(1)
        .build();
    pool.run(|| ()).await.unwrap();
    let answer = |ms: u64| async move {
        tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
        Ok::<_, std::io::Error>(ms)
    };
    let candidates = [
        Candidate::new("near", answer(1)),
        Candidate::new("far", answer(60_000)),
    ];
    assert_eq!(
        run_until_first_complete(candidates)
            .name("metrics race")
            .await
            .unwrap(),
        1
    );
    let text = told(&metrics).await;
    for line in [
        "nexios_pool_wait_duration_seconds_count{nexios_pool_name=\"metrics test\"} 1",
        "nexios_pool_use_duration_seconds_count{nexios_pool_name=\"metrics test\"} 1",
        "nexios_pool_limit{nexios_pool_name=\"metrics test\"} 1",
        "nexios_pool_usage{nexios_pool_name=\"metrics test\",state=\"idle\"} 1",
        "nexios_race_wins_total{nexios_race_name=\"metrics race\",winner=\"near\"} 1",
        "nexios_race_duration_seconds_count{nexios_race_name=\"metrics race\",strategy=\"first\",nexios_outcome=\"success\"} 1",
    ] {
        assert!(text.lines().any(|told| told == line), "{line}\n{text}");
    }
    assert!(
        !text.contains("winner=\"far\""),
        "who has never won has no number"
    );
}
