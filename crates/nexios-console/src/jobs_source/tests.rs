//! What is asked, how often, and what is shown of a store that does not answer.
#![allow(clippy::unwrap_used)]

use nexios::Drain;
use nexios_jobs::{JobContext, JobError, JobState, Kind, Policy, Workers};
use sqlx::{Connection, Executor, SqliteConnection};
use tokio::time::{advance, sleep};

use super::*;
use crate::model::LeftOut;

const PRINT: Kind<u64, u64> = Kind::new("print");

const NOW: Drain = Drain {
    wait: Duration::ZERO,
    cancel: Duration::from_secs(1),
};

fn source(jobs: &Jobs) -> Arc<JobsSource> {
    let source = Arc::<JobsSource>::default();
    source.show(jobs.clone());
    source
}

fn query(state: &str) -> JobsQuery {
    JobsQuery {
        state: state.into(),
        ..JobsQuery::default()
    }
}

async fn seen(source: &Arc<JobsSource>, query: &JobsQuery) -> JobList {
    source.look(query).await;
    source.known(query)
}

fn states(list: &JobList) -> Vec<&'static str> {
    list.jobs.iter().map(|job| job.state).collect()
}

/// 1 goes on for ever, 2 fails and waits, 3 is dead, of others the number is the output.
async fn printing(jobs: &Jobs) -> Workers {
    let print = |number: u64, job: JobContext| async move {
        job.progress(number, 10);
        match number {
            1 => {
                job.cancelled().await;
                Err(JobError::from("stopped"))
            }
            2 => Err(JobError::retry_in(Duration::from_secs(3600), "no paper")),
            3 => Err(JobError::discard("no such page")),
            number => Ok(number),
        }
    };
    let workers = jobs.workers().handle(PRINT, Policy::new(), print);
    workers.start().await.unwrap()
}

async fn until(jobs: &Jobs, count: usize, state: JobState) {
    let count_of = async || {
        let page = jobs.list(nexios_jobs::Filter::new().state(state)).await;
        page.unwrap().jobs.len()
    };
    while count_of().await < count {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn running_jobs_stand_before_waiting_ones_and_those_before_what_has_ended() {
    let jobs = Jobs::memory();
    let workers = printing(&jobs).await;
    for number in [1, 2, 3, 4] {
        jobs.enqueue(PRINT, &number).await.unwrap();
    }
    until(&jobs, 1, JobState::Completed).await;
    until(&jobs, 1, JobState::Failed).await;
    until(&jobs, 1, JobState::Retrying).await;
    let later = jobs
        .task(PRINT)
        .delay(Duration::from_secs(60))
        .unique("evening");
    later.enqueue(&5).await.unwrap();

    let source = source(&jobs);
    let list = seen(&source, &query("")).await;
    assert_eq!(
        states(&list),
        ["running", "scheduled", "retrying", "completed", "failed"]
    );
    let [running, _, retrying, completed, _] = &list.jobs[..] else {
        panic!("{list:?}");
    };
    let attempt = &running.attempts[0];
    assert_eq!((attempt.pid, attempt.number), (std::process::id(), 1));
    assert_eq!(
        retrying.error.as_ref().map(Sensitive::as_str),
        Some("no paper")
    );
    assert_eq!(completed.result.as_ref().map(Sensitive::as_str), Some("4"));
    assert!(list.has_store && list.is_known && list.away.is_none());

    for (word, expected) in [
        ("waiting", vec!["scheduled", "retrying"]),
        ("ended", vec!["completed", "failed"]),
        ("failed", vec!["failed"]),
        ("dead", vec![]),
    ] {
        assert_eq!(
            states(&seen(&source, &query(word)).await),
            expected,
            "{word}"
        );
    }
    let other = JobsQuery {
        kind: "bind".into(),
        ..query("")
    };
    assert!(seen(&source, &other).await.jobs.is_empty());
    workers.drain(NOW).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_question_is_asked_once_a_second() {
    let jobs = Jobs::memory();
    let source = source(&jobs);
    assert!(seen(&source, &query("")).await.jobs.is_empty());
    jobs.enqueue(PRINT, &1).await.unwrap();
    advance(Duration::from_millis(900)).await;
    assert!(
        seen(&source, &query("")).await.jobs.is_empty(),
        "what was said a moment ago is good enough"
    );
    advance(Duration::from_millis(200)).await;
    assert_eq!(seen(&source, &query("")).await.jobs.len(), 1);
}

#[test]
fn a_store_that_takes_its_time_is_asked_a_tenth_of_the_time_at_most() {
    let millis = Duration::from_millis;
    let pauses = [millis(3), millis(800), Duration::MAX].map(pause);
    assert_eq!(pauses, [AGAIN, millis(7_200), LONGEST_PAUSE]);
}

#[tokio::test(start_paused = true)]
async fn a_page_has_a_hundred_jobs_and_says_how_to_ask_for_the_others() {
    let jobs = Jobs::memory();
    let numbers: Vec<u64> = (0..250).collect();
    let handles = jobs.enqueue_many(PRINT, &numbers).await.unwrap();
    let source = source(&jobs);
    let mut question = query("");
    let mut shown = Vec::new();
    let left = |state: &str, before: Option<&String>| LeftOut {
        state: state.to_owned(),
        before: before.cloned(),
    };
    for (page, and_ended) in [(100, true), (100, false), (50, false)] {
        let list = seen(&source, &question).await;
        assert_eq!(list.jobs.len(), page);
        shown.extend(list.jobs.into_iter().map(|job| job.id));
        let waiting = (page == 100).then(|| left("waiting", shown.last()));
        // There was no room to look for them.
        let ended = and_ended.then(|| left("ended", None));
        let others: Vec<_> = waiting.into_iter().chain(ended).collect();
        assert_eq!(list.left_out, others);
        if let Some(LeftOut { state, before }) = others.into_iter().next() {
            question.state = state;
            question.before = before.unwrap();
        }
    }
    let newest_first: Vec<String> = handles
        .iter()
        .rev()
        .map(|job| job.id().to_string())
        .collect();
    assert_eq!(shown, newest_first);
}

#[tokio::test(start_paused = true)]
async fn texts_and_attempts_are_kept_as_long_as_there_is_room_for() {
    let jobs = Jobs::memory();
    let kind: Kind<u64, String> = Kind::new("shout");
    let shout = |number: u64, job: JobContext| async move {
        job.message("é".repeat(9_000));
        match number {
            1 => Ok("é".repeat(9_000)),
            _ => Err(JobError::retry_in(Duration::ZERO, "é".repeat(9_000))),
        }
    };
    let policy = Policy::new().attempts(15);
    let workers = jobs
        .workers()
        .handle(kind, policy, shout)
        .start()
        .await
        .unwrap();
    for number in [1, 2] {
        let long = format!("{number}{}", "k".repeat(1000));
        let job = jobs.task(kind).unique(long);
        job.enqueue(&number).await.unwrap();
    }
    until(&jobs, 1, JobState::Dead).await;
    until(&jobs, 1, JobState::Completed).await;
    let list = seen(&source(&jobs), &query("")).await;
    let json = serde_json::to_string(&list).unwrap();
    assert!(json.len() < 2 * 12 * 1000, "{}", json.len());
    let dead = list.jobs.iter().find(|job| job.state == "dead").unwrap();
    assert_eq!((dead.attempts.len(), dead.attempts[9].number), (10, 15));
    workers.drain(NOW).await;
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_asks_any_more_is_forgotten() {
    let jobs = Jobs::memory();
    let source = source(&jobs);
    for number in 0..200 {
        let kind = format!("kind {number}");
        seen(&source, &JobsQuery { kind, ..query("") }).await;
    }
    assert_eq!(source.lock().questions.len(), MOST_QUESTIONS);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_a_second_and_what_was_known_is_shown() {
    let jobs = Jobs::memory();
    jobs.enqueue(PRINT, &1).await.unwrap();
    let source = source(&jobs);
    assert_eq!(seen(&source, &query("")).await.jobs.len(), 1);
    advance(AGAIN).await;
    // Somebody's question has no answer yet.
    let turn = source.turn.lock().await;
    let began = Instant::now();
    let list = seen(&source, &query("")).await;
    assert_eq!(began.elapsed(), PATIENCE);
    assert!(list.away.is_some_and(|away| away.error.is_none()));
    assert_eq!(list.jobs.len(), 1, "as it was before");
    let list = seen(&source, &query("")).await;
    assert_eq!(began.elapsed(), PATIENCE, "who comes later waits no more");
    assert!(list.away.is_some());
    let unknown = seen(&source, &query("dead")).await;
    assert!(!unknown.is_known && unknown.away.is_some());
    drop(turn);
    advance(Duration::from_millis(1)).await;
    assert!(seen(&source, &query("")).await.away.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_is_away_since_the_first_question_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let jobs = Jobs::open(&url).await.unwrap();
    jobs.enqueue(PRINT, &1).await.unwrap();
    let source = source(&jobs);
    assert_eq!(seen(&source, &query("")).await.jobs.len(), 1);
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    other
        .execute("ALTER TABLE nexios_jobs RENAME TO elsewhere")
        .await
        .unwrap();
    let away = async || loop {
        let list = seen(&source, &query("")).await;
        match list.away {
            Some(Away {
                since_unix_ms,
                error: Some(error),
            }) => {
                assert_eq!(list.jobs.len(), 1, "as it was before");
                break (since_unix_ms, error);
            }
            _ => sleep(Duration::from_millis(20)).await,
        }
    };
    let limit = Duration::from_secs(60);
    let (since, error) = tokio::time::timeout(limit, away()).await.unwrap();
    assert!(error.as_str().contains("nexios_jobs"), "{error:?}");
    sleep(AGAIN * 2).await;
    let (still, _) = tokio::time::timeout(limit, away()).await.unwrap();
    assert_eq!(since, still, "it is the same silence");
    other
        .execute("ALTER TABLE elsewhere RENAME TO nexios_jobs")
        .await
        .unwrap();
    let back = async {
        while seen(&source, &query("")).await.away.is_some() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limit, back).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_second_store_takes_the_place_of_the_first() {
    let (first, second) = (Jobs::memory(), Jobs::memory());
    first.enqueue(PRINT, &1).await.unwrap();
    let source = source(&first);
    assert_eq!(seen(&source, &query("")).await.jobs.len(), 1);
    source.show(second);
    assert!(seen(&source, &query("")).await.jobs.is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_store_there_are_no_jobs_and_nothing_to_do() {
    let source = Arc::<JobsSource>::default();
    assert!(!seen(&source, &query("")).await.has_store);
    assert_eq!(source.cancel("1").await, JobAnswer::Unknown);
}
