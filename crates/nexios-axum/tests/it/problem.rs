use std::time::Duration;

use axum::http::StatusCode;
use nexios::{
    AsyncLazy, Background, BackgroundError, BackgroundFailure, CancelReason, Candidate,
    Interrupted, LazyError, PoolError, Race, RaceError, run_until_first_complete,
};
use nexios_axum::Problem;

use crate::{answer::Answer, log};

#[tokio::test]
async fn a_problem_has_the_members_of_rfc_9457() {
    let problem = Problem::conflict("somebody was faster")
        .kind("https://example.org/problems/too-late")
        .title("Too late")
        .instance("/orders/7")
        .with("order", 7);
    let answer = Answer::of(problem).await.problem(409);
    assert_eq!(
        answer,
        serde_json::json!({
            "type": "https://example.org/problems/too-late", "title": "Too late", "status": 409,
            "detail": "somebody was faster", "instance": "/orders/7", "order": 7,
        })
    );
}

#[tokio::test]
async fn a_bare_problem_is_about_blank_and_titled_by_its_status() {
    let answer = Answer::of(Problem::new(StatusCode::IM_A_TEAPOT))
        .await
        .problem(418);
    assert_eq!(
        answer,
        serde_json::json!({ "type": "about:blank", "title": "I'm a teapot", "status": 418 })
    );
}

#[tokio::test]
async fn a_member_of_your_own_cannot_replace_the_status() {
    let answer = Answer::of(
        Problem::bad_request("no")
            .with("status", 200)
            .with("type", "x"),
    )
    .await
    .problem(400);
    assert_eq!(answer["type"], "about:blank");
}

#[tokio::test]
async fn every_builder_has_its_status() {
    let wait = Duration::from_secs(1);
    let problems = [
        (400, Problem::bad_request("x")),
        (404, Problem::not_found("x")),
        (409, Problem::conflict("x")),
        (413, Problem::too_large("x")),
        (415, Problem::unsupported("x")),
        (422, Problem::unprocessable("x")),
        (500, Problem::internal(&"x")),
        (502, Problem::bad_gateway("x")),
        (503, Problem::unavailable("x", wait)),
        (504, Problem::too_slow("x")),
    ];
    for (status, problem) in problems {
        assert_eq!(problem.status().as_u16(), status);
        Answer::of(problem).await.problem(status);
    }
}

#[tokio::test]
async fn an_internal_fault_shows_an_id_and_never_its_cause() {
    let first = Answer::of(Problem::internal(&"password of db-7 is wrong")).await;
    let second = Answer::of(Problem::internal(&"password of db-7 is wrong")).await;
    assert!(!first.body.contains("db-7"), "{}", first.body);
    let id = first.problem(500)["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 16);
    assert_ne!(id, second.problem(500)["id"]);
}

#[tokio::test]
async fn retry_after_is_whole_seconds_and_never_too_early() {
    for (wait, header) in [
        (0, "1"),
        (1, "1"),
        (1_000, "1"),
        (1_001, "2"),
        (90_000, "90"),
    ] {
        let problem = Problem::unavailable("later", Duration::from_millis(wait));
        assert_eq!(
            Answer::of(problem).await.header("retry-after"),
            Some(header),
            "{wait} ms"
        );
    }
    let never = Answer::of(Problem::unavailable("never", Duration::MAX)).await;
    assert_eq!(never.header("retry-after"), Some("18446744073709551615"));
}

#[tokio::test]
async fn a_deadline_is_504() {
    Answer::of(Problem::from(Interrupted::DeadlineExceeded))
        .await
        .problem(504);
    Answer::of(Problem::from(Interrupted::Cancelled(
        CancelReason::Deadline,
    )))
    .await
    .problem(504);
}

#[tokio::test]
async fn a_shutdown_is_503_with_retry_after_on_a_connection_that_closes() {
    let answer = Answer::of(Problem::from(Interrupted::Cancelled(
        CancelReason::Shutdown,
    )))
    .await;
    answer.problem(503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_cancellation_on_request_is_503_and_one_of_a_sibling_500() {
    Answer::of(Problem::from(Interrupted::Cancelled(
        CancelReason::Requested,
    )))
    .await
    .problem(503);
    Answer::of(Problem::from(Interrupted::Cancelled(
        CancelReason::SiblingFailed,
    )))
    .await
    .problem(500);
}

#[tokio::test]
async fn a_client_that_went_away_is_499() {
    let answer = Answer::of(Problem::from(Interrupted::Cancelled(
        CancelReason::ClientDisconnected,
    )))
    .await;
    assert_eq!(answer.problem(499)["title"], "Client Closed Request");
}

#[tokio::test]
async fn a_pool_that_takes_no_more_is_503_with_retry_after() {
    for error in [
        PoolError::Saturated,
        PoolError::QueueTimeout,
        PoolError::Closed,
    ] {
        let answer = Answer::of(Problem::from(error)).await;
        answer.problem(503);
        assert_eq!(answer.header("retry-after"), Some("1"), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn saturated_pools_are_one_warning_a_second_with_their_number() {
    log::start();
    let said = || log::lines_with("a thread pool is saturated");
    // Others' errors are counted too; from a day ahead on nobody else's clock has the line said.
    tokio::time::advance(Duration::from_secs(86_400)).await;
    drop(Problem::from(PoolError::Saturated));
    let before = said().len();
    assert!(before > 0);
    for error in [PoolError::Saturated, PoolError::QueueTimeout].repeat(50) {
        drop(Problem::from(error));
    }
    drop(Problem::from(PoolError::Closed)); // the service ends, and has said so
    assert_eq!(said().len(), before, "a second is not over");
    tokio::time::advance(Duration::from_secs(1)).await;
    drop(Problem::from(PoolError::QueueTimeout));
    let said = said();
    assert_eq!(said.len(), before + 1);
    let line = said.last().unwrap();
    assert!(line["count"].as_u64().unwrap() >= 101, "{line}");
    assert_eq!(
        (&line["level"], &line["cause"]),
        (
            &"WARN".into(),
            &"no thread of the pool was free in time".into()
        )
    );
}

async fn lost(race: Race<'_, (), &'static str>) -> RaceError<&'static str> {
    race.winner().await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_race_lost_to_time_is_504() {
    let hang = Candidate::new("slow", std::future::pending()).timeout(Duration::from_secs(1));
    let error = lost(run_until_first_complete([hang])).await;
    Answer::of(Problem::from(error)).await.problem(504);
}

#[tokio::test]
async fn a_race_without_a_winner_is_503_and_keeps_the_failures_to_itself() {
    let error = lost(run_until_first_complete([Candidate::new("db-7", async {
        Err("no route to db-7")
    })]))
    .await;
    let answer = Answer::of(Problem::from(error)).await;
    answer.problem(503);
    assert!(!answer.body.contains("db-7"), "{}", answer.body);
}

#[tokio::test]
async fn a_race_of_nobody_is_500() {
    let error = lost(run_until_first_complete([])).await;
    Answer::of(Problem::from(error)).await.problem(500);
}

#[tokio::test]
async fn a_lazy_value_that_failed_is_500_with_an_id() {
    let lazy = AsyncLazy::<u8, _>::new(|| async { Err("disk of host-3") });
    let error: LazyError<&str> = lazy.get().await.unwrap_err();
    let answer = Answer::of(Problem::from(error)).await;
    assert!(answer.problem(500)["id"].is_string());
    assert!(!answer.body.contains("host-3"), "{}", answer.body);
}

#[tokio::test]
async fn a_task_without_a_value_is_as_its_end_says() {
    for (failure, status, retry_after, connection) in [
        (BackgroundFailure::TimedOut, 504, None, None),
        (BackgroundFailure::Cancelled, 503, Some("1"), None),
        (BackgroundFailure::Refused, 503, Some("1"), None),
        (BackgroundFailure::Abandoned, 503, Some("1"), Some("close")),
        (BackgroundFailure::Panicked, 500, None, None),
    ] {
        let answer = Answer::of(Problem::from(failure)).await;
        answer.problem(status);
        assert_eq!(answer.header("retry-after"), retry_after, "{failure:?}");
        assert_eq!(answer.header("connection"), connection, "{failure:?}");
    }
}

#[tokio::test]
async fn a_task_that_was_not_admitted_is_as_the_refusal_says() {
    let no_schedule = Background::new()
        .cron("report", "every day", |_| async {})
        .unwrap_err();
    Answer::of(Problem::from(no_schedule)).await.problem(500);
    for (error, status, retry_after, connection) in [
        (BackgroundError::Full(()), 503, Some("1"), None),
        (
            BackgroundError::ShuttingDown(()),
            503,
            Some("1"),
            Some("close"),
        ),
        (BackgroundError::Duplicate(()), 409, None, None),
    ] {
        let name = format!("{error:?}");
        let answer = Answer::of(Problem::from(error)).await;
        answer.problem(status);
        assert_eq!(answer.header("retry-after"), retry_after, "{name}");
        assert_eq!(answer.header("connection"), connection, "{name}");
    }
}

/// The messages of core errors are for the log: what they tell of the inside must not reach the body.
#[tokio::test(start_paused = true)]
async fn nothing_of_an_error_reaches_the_body() {
    let background = Background::new();
    let task = background
        .spawn("task of db-7", |_task| async { panic!("row of db-7") })
        .unwrap();
    let failure = task.await.unwrap_err();
    let lazy = AsyncLazy::<u8, &str>::builder(|| async { panic!("file of db-7") })
        .name("cache of db-7")
        .build();
    let fatal = run_until_first_complete([Candidate::new("db-7", async { Err::<(), _>("db-7") })]);
    let problems = [
        Problem::from(failure),
        Problem::from(lazy.get().await.unwrap_err()),
        Problem::from(lost(fatal.fatal(|_| true)).await),
    ];
    for problem in problems {
        let answer = Answer::of(problem).await;
        assert!(!answer.body.contains("db-7"), "{}", answer.body);
    }
}

/// A line break in it would begin a line of the client's choice.
#[test]
fn a_cause_is_one_line_of_a_bounded_length_whatever_is_in_it() {
    let log = Memory::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    let city = format!(
        "Paris\n1970-01-01 ERROR forged\u{1b}[2J{}",
        "x".repeat(100_000)
    );
    tracing::subscriber::with_default(subscriber, || {
        drop(Problem::internal(&format!("no city {city}")));
        drop(nexios_axum::panic_response(Box::new(format!(
            "no city {city}"
        ))));
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = log.split('\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 2, "{} bytes", log.len());
    for line in lines {
        assert!(line.len() < 1_000 && !line.contains('\u{1b}'), "{line}");
        assert!(line.contains("no city Paris\\n1970"), "{line}");
    }
}

#[derive(Clone, Default)]
struct Memory(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_is_a_line_at_info_and_many_are_one_warning_a_second() {
    log::start();
    let lose = async |error: &str| {
        let lost = run_until_first_complete([Candidate::new("only", async {
            Err::<(), _>(error.to_owned())
        })]);
        drop(Problem::from(lost.await.unwrap_err()));
    };
    for _ in 0..100 {
        lose("lost-race-marker").await;
    }
    let lines = log::lines_with("lost-race-marker");
    let with = |level: &str| lines.iter().filter(|line| line["level"] == level).count();
    // Another test may have lost a race in this second.
    assert!(with("WARN") <= 1, "{}", with("WARN"));
    assert_eq!((with("INFO"), with("ERROR")), (100, 0));
    lose(&format!("long-race-marker {}", "x".repeat(100_000))).await;
    assert!(
        log::lines_with("long-race-marker")
            .iter()
            .all(|line| line.to_string().len() < 1_000)
    );
}

#[tokio::test(start_paused = true)]
async fn a_race_lost_by_time_is_no_warning() {
    log::start();
    let lost = run_until_first_complete([Candidate::new("race-late-marker", async {
        std::future::pending::<Result<(), String>>().await
    })]);
    let lost = lost.timeout(Duration::from_secs(1)).await.unwrap_err();
    Answer::of(Problem::from(lost)).await.problem(504);
    let lines = log::lines_with("race-late-marker");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["level"], "INFO");
}
