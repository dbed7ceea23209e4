//! Newsletters whose service ended before they did: the next one on the same jobs goes on with them.

use std::{collections::BTreeSet, time::Duration};

use newsroom::{Sizes, prepare};
use serde_json::{Value, json};

use crate::{
    binary::{Running, get, kept_log, start_again, start_in},
    mail_server::{MailServer, Reply, Stage},
    service::{SMALL, empty, eventually},
    shutdown::{self, newsletter, post_letter},
};

/// Waits for the end of the newsletter; whoever goes on after a kill waits for the lease of the other.
async fn finished(running: &Running) -> Value {
    for _ in 0..3 {
        let look = async || {
            Some(newsletter(running).await)
                .filter(|task| !["queued", "running"].contains(&task["state"].as_str().unwrap()))
        };
        let waited = tokio::time::timeout(Duration::from_secs(19), eventually(look)).await;
        if let Ok(task) = waited {
            return task;
        }
    }
    panic!("it never ended: {}", newsletter(running).await);
}

/// Every recipient has exactly one letter.
#[track_caller]
fn assert_one_each(mail_server: &MailServer, subscribers: usize) {
    let mails = mail_server.mails();
    let recipients: BTreeSet<_> = mails.iter().map(|mail| &mail.to).collect();
    assert_eq!((mails.len(), recipients.len()), (subscribers, subscribers));
}

async fn list(running: &Running) -> Value {
    let list = get(&running.url, "/newsletters").await;
    list.json::<Value>().await.unwrap()["newsletters"].clone()
}

/// The third mail is with the server, but whoever sent it was killed before the answer came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_and_started_again_it_is_the_same_task_and_everybody_gets_one_letter()
{
    let mail_server = shutdown::silent_at_the_third().await;
    let url = mail_server.url();
    let arguments = ["--smtp-limit", "600", "--smtp-url", &url];
    let running = shutdown::start(&mail_server, "30", &arguments[..2]).await;
    eventually(async || {
        (newsletter(&running).await["message"] == "2 sent, 0 failed, 1 on its way").then_some(())
    })
    .await;
    let before = newsletter(&running).await;
    assert_eq!((&before["done"], &before["total"]), (&json!(2), &json!(12)));
    let killed = running.stop("KILL").await;
    assert_eq!(killed.code, None, "{killed:?}");

    let running = start_again(killed, &arguments);
    let after = newsletter(&running).await;
    assert_eq!(after["id"], before["id"]);
    let task = finished(&running).await;
    assert_eq!(task["id"], before["id"]);
    assert_eq!(
        (&task["state"], &task["message"], &task["attempt"]),
        (
            &json!("completed"),
            &json!("11 sent, 0 failed, 1 in doubt"),
            &json!(2)
        ),
        "{task}"
    );
    assert_one_each(&mail_server, 12);
    let list = list(&running).await;
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list[0]["summary"], "completed: 11 sent, 1 in doubt, 0 left");
    let end = running.stop("TERM").await;
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(
        (end.deliveries("sending"), end.deliveries("in doubt")),
        (0, 1)
    );
}

/// Before its text goes out a mail can be begun anew, so the kill costs nobody the letter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_was_killed_before_its_text_is_sent_by_the_next_service() {
    let mail_server = MailServer::that(|stage, address| match stage {
        Stage::To if address.contains(".4@") => Reply::FineAfter(Duration::from_secs(3)),
        _ => Reply::Fine,
    })
    .await;
    let url = mail_server.url();
    let running = shutdown::start(&mail_server, "30", &[]).await;
    eventually(async || (mail_server.asked(Stage::To) == 4).then_some(())).await;
    let killed = running.stop("KILL").await;
    let running = start_again(killed, &["--smtp-url", &url]);
    let task = finished(&running).await;
    assert_eq!(task["message"], "12 sent, 0 failed", "{task}");
    assert_one_each(&mail_server, 12);
    running.stop("TERM").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_by_sigterm_it_is_handed_back_and_the_next_service_goes_on_at_once() {
    let mail_server = MailServer::that(|stage, address| match stage {
        Stage::To if address.contains(".4@") => Reply::FineAfter(Duration::from_secs(8)),
        _ => Reply::Fine,
    });
    let mail_server = mail_server.await;
    let url = mail_server.url();
    let running = shutdown::start(&mail_server, "4", &["--smtp-limit", "600"]).await;
    eventually(async || (mail_server.asked(Stage::To) == 4).then_some(())).await;
    let id = newsletter(&running).await["id"].clone();
    let stopped = running.stop("TERM").await;
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert!(
        stopped.list("handed_back").contains("send newsletter"),
        "{stopped:?}"
    );
    assert_eq!(
        (
            stopped.sent("newsletter handed back"),
            stopped.deliveries("sent")
        ),
        (3, 3)
    );
    assert_eq!(
        (
            stopped.deliveries("sending"),
            stopped.deliveries("in doubt")
        ),
        (0, 0)
    );
    let running = start_again(stopped, &["--smtp-url", &url]);
    let task = finished(&running).await;
    assert_eq!(task["id"], id);
    assert_eq!(
        (&task["message"], &task["attempt"]),
        (&json!("12 sent, 0 failed"), &json!(1)),
        "no attempt was charged: {task}"
    );
    assert_one_each(&mail_server, 12);
    running.stop("TERM").await;
}

const MANY: usize = 600;

/// Starts a service on data of its own.
fn start_on_its_own(subscribers: usize, arguments: &[&str]) -> Running {
    let (mut config, folder) = empty();
    config.sizes = Sizes {
        subscribers: subscribers as u64,
        ..SMALL
    };
    prepare(&config).unwrap();
    let log = kept_log(folder.path());
    start_in(folder, log, arguments)
}

/// Two services with their own data on the same jobs, and a newsletter that one of them was given.
async fn two(mail_server: &MailServer, jobs: &str) -> (Running, Running) {
    let url = mail_server.url();
    let arguments = ["--jobs", jobs, "--smtp-url", &url];
    let one = start_on_its_own(MANY, &arguments);
    let other = start_on_its_own(MANY, &arguments);
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

/// How many parts each process has worked on.
fn processes_of_parts(jobs: &std::path::Path) -> u64 {
    rusqlite::Connection::open(jobs)
        .unwrap()
        .query_row(
            "SELECT count(DISTINCT entry.value ->> 'pid') FROM nexios_jobs, json_each(history) AS entry
             WHERE kind = 'send part of newsletter'",
            [],
            |row| row.get(0),
        )
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_services_on_the_same_jobs_send_one_newsletter_together() {
    let mail_server = slow().await;
    let shared = tempfile::tempdir().unwrap();
    let file = shared.path().join("jobs.db");
    let (one, other) = two(&mail_server, &format!("sqlite:{}", file.display())).await;
    let task = finished(&other).await;
    assert_eq!(task["message"], format!("{MANY} sent, 0 failed"), "{task}");
    assert_eq!(task["id"], newsletter(&one).await["id"]);
    assert_one_each(&mail_server, MANY);
    assert_eq!(processes_of_parts(&file), 2);
    one.stop("TERM").await;
    other.stop("TERM").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_services_is_killed_and_the_other_finishes_what_it_had() {
    let mail_server = slow().await;
    let shared = tempfile::tempdir().unwrap();
    let file = shared.path().join("jobs.db");
    let (one, other) = two(&mail_server, &format!("sqlite:{}", file.display())).await;
    eventually(async || (mail_server.mails().len() > 100).then_some(())).await;
    one.stop("KILL").await;
    let task = finished(&other).await;
    assert_eq!(task["state"], "completed", "{task}");
    // Those whose text was going out at the kill have it, or nobody knows.
    let mails = mail_server.mails();
    let recipients: BTreeSet<_> = mails.iter().map(|mail| &mail.to).collect();
    assert_eq!(recipients.len(), mails.len(), "nobody gets two");
    assert!((MANY - 4..=MANY).contains(&mails.len()), "{}", mails.len());
    assert_eq!(task["done"], json!(MANY));
    other.stop("TERM").await;
}

/// Cancelled on any of them, it ends on all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newsletter_is_cancelled_from_another_service() {
    let mail_server = slow().await;
    let shared = tempfile::tempdir().unwrap();
    let file = shared.path().join("jobs.db");
    let (one, other) = two(&mail_server, &format!("sqlite:{}", file.display())).await;
    eventually(async || (mail_server.mails().len() > 20).then_some(())).await;
    let id = newsletter(&other).await["id"].as_str().unwrap().to_owned();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let cancel = client.post(other.url.join(&format!("/tasks/{id}/cancel")).unwrap());
    assert_eq!(cancel.send().await.unwrap().status(), 202);
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
