//! Several services on the same jobs, each with data of its own: they send one newsletter together, whatever becomes of one of them.

use std::{collections::BTreeSet, time::Duration};

use newsroom::{Sizes, prepare};
use nexios_jobs::{Filter, Jobs};
use serde_json::{Value, json};

use crate::{
    binary::{Running, kept_log, start_in},
    interrupted::{assert_one_each, finished, list},
    mail_server::{MailServer, Reply, Stage},
    service::{SMALL, empty, eventually},
    shutdown::{newsletter, post_letter},
};

/// Runs each rule on jobs in a file and on jobs in a server.
macro_rules! on_either_database {
    ($($rule:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let shared = tempfile::tempdir().unwrap();
                let file = shared.path().join("jobs.db");
                super::$rule(&format!("sqlite:{}", file.display())).await;
            })+
        }
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                if let Some(url) = crate::postgres_server::database().await {
                    super::$rule(&url).await;
                }
            })+
        }
        #[cfg(not(feature = "postgres"))]
        mod postgres {
            #[test]
            #[allow(clippy::print_stdout, reason = "it says what is skipped")]
            fn is_not_built_in() {
                println!("skipped: built without the feature `postgres`");
            }
        }
    };
}

on_either_database! {
    two_services_send_one_newsletter_together,
    all_are_killed_and_one_that_is_started_again_finishes_the_same_task,
    one_of_two_is_killed_and_the_other_finishes_what_it_had,
    one_that_was_stopped_for_longer_than_its_lease_sends_nothing_twice,
    a_newsletter_is_cancelled_from_another_service,
    a_stopped_newsletter_is_tried_again_from_another_service_and_reaches_the_rest,
}

const MANY: usize = 600;

/// Mails whose text may be going out at a time, at most: one for each part that a service sends.
const IN_FLIGHT: usize = 4;

/// Starts a service on data of its own.
fn start(jobs: &str, mail_server: &MailServer) -> Running {
    let (mut config, folder) = empty();
    config.sizes = Sizes {
        subscribers: MANY as u64,
        ..SMALL
    };
    prepare(&config).unwrap();
    let log = kept_log(folder.path());
    let mail_server = mail_server.url();
    start_in(folder, log, &["--jobs", jobs, "--smtp-url", &mail_server])
}

/// Two services, and a newsletter that one of them was given.
async fn two(jobs: &str, mail_server: &MailServer) -> (Running, Running) {
    let (one, other) = (start(jobs, mail_server), start(jobs, mail_server));
    post_letter(&one).await;
    (one, other)
}

/// Each mail takes a moment, so that both are needed.
async fn slow() -> MailServer {
    MailServer::that(|stage, _| match stage {
        Stage::Text => Reply::FineAfter(Duration::from_millis(20)),
        _ => Reply::Fine,
    })
    .await
}

async fn sent(mail_server: &MailServer, more_than: usize) {
    eventually(async || (mail_server.mails().len() > more_than).then_some(())).await;
}

/// Nobody has two, and nobody has none but those whose mail was going out when its sender stopped, each time.
#[track_caller]
fn assert_nobody_has_two(mail_server: &MailServer, stops: usize) {
    let mails = mail_server.mails();
    let recipients: BTreeSet<_> = mails.iter().map(|mail| &mail.to).collect();
    assert_eq!(recipients.len(), mails.len(), "nobody gets two");
    let least = MANY - stops * IN_FLIGHT;
    assert!((least..=MANY).contains(&mails.len()), "{}", mails.len());
}

/// The processes that have sent parts of newsletters.
async fn senders(jobs: &str) -> BTreeSet<u32> {
    let parts = Filter::new().kind("send part of newsletter").limit(1_000);
    let jobs = Jobs::open(jobs).await.unwrap();
    let parts = jobs.list(parts).await.unwrap().jobs.into_iter();
    parts
        .flat_map(|part| part.attempts)
        .map(|attempt| attempt.pid)
        .collect()
}

async fn post(running: &Running, task: &Value, action: &str) -> u16 {
    let id = task["id"].as_str().unwrap();
    let url = running.url.join(&format!("/tasks/{id}/{action}")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.post(url).send().await.unwrap().status().as_u16()
}

async fn two_services_send_one_newsletter_together(jobs: &str) {
    let mail_server = slow().await;
    let (one, other) = two(jobs, &mail_server).await;
    let task = finished(&other).await;
    assert_eq!(task["message"], format!("{MANY} sent, 0 failed"), "{task}");
    assert_eq!(task["id"], newsletter(&one).await["id"]);
    assert_one_each(&mail_server, MANY);
    assert_eq!(senders(jobs).await, BTreeSet::from([one.id(), other.id()]));
    one.stop("TERM").await;
    other.stop("TERM").await;
}

async fn all_are_killed_and_one_that_is_started_again_finishes_the_same_task(jobs: &str) {
    let mail_server = slow().await;
    let (one, other) = two(jobs, &mail_server).await;
    sent(&mail_server, 100).await;
    let before = newsletter(&one).await;
    one.stop("KILL").await;
    other.stop("KILL").await;
    let again = start(jobs, &mail_server);
    let task = finished(&again).await;
    assert_eq!(
        (&task["id"], &task["state"], &task["done"]),
        (&before["id"], &json!("completed"), &json!(MANY)),
        "{task}"
    );
    assert_nobody_has_two(&mail_server, 2);
    again.stop("TERM").await;
}

async fn one_of_two_is_killed_and_the_other_finishes_what_it_had(jobs: &str) {
    let mail_server = slow().await;
    let (one, other) = two(jobs, &mail_server).await;
    sent(&mail_server, 100).await;
    one.stop("KILL").await;
    let task = finished(&other).await;
    assert_eq!(
        (&task["state"], &task["done"]),
        (&json!("completed"), &json!(MANY)),
        "{task}"
    );
    assert_nobody_has_two(&mail_server, 1);
    other.stop("TERM").await;
}

/// As a machine that is put to sleep and wakes up, and believes that no time has passed.
async fn one_that_was_stopped_for_longer_than_its_lease_sends_nothing_twice(jobs: &str) {
    let mail_server = slow().await;
    let (one, other) = two(jobs, &mail_server).await;
    sent(&mail_server, 100).await;
    one.signal("STOP");
    // Not until the other has finished: a file of SQLite may be locked by the one that is stopped.
    tokio::time::sleep(Duration::from_secs(15)).await;
    one.signal("CONT");
    let task = finished(&other).await;
    assert_eq!(
        (&task["state"], &task["done"]),
        (&json!("completed"), &json!(MANY)),
        "{task}"
    );
    let there = newsletter(&one).await;
    assert_eq!(
        (&there["id"], &there["state"]),
        (&task["id"], &task["state"]),
        "{there}"
    );
    // What it still believes to have to do.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_nobody_has_two(&mail_server, 1);
    assert_eq!(one.stop("TERM").await.code, Some(0));
    assert_eq!(other.stop("TERM").await.code, Some(0));
}

/// Cancelled on any of them, it ends on all.
async fn a_newsletter_is_cancelled_from_another_service(jobs: &str) {
    let mail_server = slow().await;
    let (one, other) = two(jobs, &mail_server).await;
    sent(&mail_server, 20).await;
    let task = newsletter(&other).await;
    assert_eq!(post(&other, &task, "cancel").await, 202);
    let task = finished(&one).await;
    assert_eq!(task["state"], "cancelled", "{task}");
    let sent = mail_server.mails().len();
    assert!(sent < MANY, "{sent}");
    assert_eq!(list(&one).await[0]["state"], "stopped");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(mail_server.mails().len(), sent, "nothing goes out any more");
    one.stop("TERM").await;
    other.stop("TERM").await;
}

async fn a_stopped_newsletter_is_tried_again_from_another_service_and_reaches_the_rest(jobs: &str) {
    let mail_server = slow().await;
    let (one, other) = two(jobs, &mail_server).await;
    sent(&mail_server, 20).await;
    let task = newsletter(&one).await;
    assert_eq!(post(&one, &task, "retry").await, 409, "it is under way");
    assert_eq!(post(&one, &task, "cancel").await, 202);
    assert_eq!(finished(&one).await["state"], "cancelled");
    assert_eq!(post(&other, &task, "retry").await, 202);
    let again = finished(&other).await;
    assert_eq!(
        (&again["id"], &again["state"], &again["done"]),
        (&task["id"], &json!("completed"), &json!(MANY)),
        "{again}"
    );
    assert_one_each(&mail_server, MANY);
    assert_eq!(list(&one).await[0]["state"], "completed");
    assert_eq!(post(&other, &task, "retry").await, 409, "it is complete");
    one.stop("TERM").await;
    other.stop("TERM").await;
}
