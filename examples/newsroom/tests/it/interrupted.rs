//! Newsletters whose service ended before they did: the next one on the same jobs goes on with them.

use std::{collections::BTreeSet, time::Duration};

use nexios_jobs::{Jobs, Kind};
use serde_json::{Value, json};

use crate::{
    binary::{Running, get, start_again},
    mail_server::{MailServer, Reply, Stage},
    newsletter::sent,
    service::{Service, eventually},
    shutdown::{self, newsletter},
};

/// Waits for the end of the newsletter; whoever goes on after a kill waits for the lease of the other.
pub(crate) async fn finished(running: &Running) -> Value {
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
pub(crate) fn assert_one_each(mail_server: &MailServer, subscribers: usize) {
    let mails = mail_server.mails();
    let recipients: BTreeSet<_> = mails.iter().map(|mail| &mail.to).collect();
    assert_eq!((mails.len(), recipients.len()), (subscribers, subscribers));
}

pub(crate) async fn list(running: &Running) -> Value {
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

/// What a service of the time before there were jobs has left.
#[tokio::test]
async fn newsletters_of_before_there_were_jobs_stay_in_the_list_and_give_no_number_away() {
    let service = Service::new();
    service.database().run(
        "INSERT INTO newsletters (subject, body, state, total, sent, failed)
         VALUES ('whole', 'x', 'completed', 12, 11, 1), ('half', 'x', 'sending', 12, 1, 0);
         INSERT INTO deliveries (newsletter_id, subscriber_id, state) VALUES (2, 1, 'sent'), (2, 2, 'sending');",
    );
    sent(&service, "new").await;
    for _ in 0..2 {
        let list = service.get("/newsletters").await.ok(200);
        let list = list["newsletters"].as_array().unwrap();
        let told: Vec<_> = list
            .iter()
            .map(|one| {
                (
                    one["subject"].as_str().unwrap(),
                    one["summary"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("new", "completed: 12 sent, 0 in doubt, 0 left"),
                ("half", "interrupted: 1 sent, 1 in doubt, 10 left"),
                ("whole", "completed: 11 sent, 0 in doubt, 0 left, 1 failed"),
            ]
        );
    }
    assert!(service.path("outbox/newsletter-3").exists());
}

/// Its attempts are spent, or it was cancelled while no service had it: there is nobody who would write that down.
#[tokio::test]
async fn a_newsletter_whose_job_ended_without_it_is_not_being_sent_for_ever() {
    const BY_NOBODY: Kind<Value> = Kind::new("send newsletter");
    let service = Service::new();
    service.get("/newsletters").await.ok(200);
    let url = format!("sqlite:{}", service.path("jobs.db").display());
    let jobs = Jobs::open(&url).await.unwrap();
    let dead = jobs.enqueue(BY_NOBODY, &json!("no letter")).await.unwrap();
    assert!(dead.wait().await.is_err());
    let later = jobs.task(BY_NOBODY).delay(Duration::from_secs(60));
    let cancelled = later.enqueue(&json!("no letter")).await.unwrap();
    let living = jobs.task(BY_NOBODY).delay(Duration::from_secs(60));
    let living = living.enqueue(&json!("no letter")).await.unwrap();
    for (subject, job) in [
        ("dead", dead.id().to_string()),
        ("cancelled", cancelled.id().to_string()),
        ("forgotten", "4711".to_owned()),
        ("living", living.id().to_string()),
    ] {
        service.jobs().run(&format!(
            "INSERT INTO newsroom_newsletters (job, subject, body, created, state, plan, total, sent)
             VALUES ('{job}', '{subject}', 'x', '', 'sending', '[12]', 12, 0);
             INSERT INTO newsroom_deliveries (newsletter, subscriber, state, updated)
             SELECT id, 1, 'sending', '' FROM newsroom_newsletters WHERE subject = '{subject}'"
        ));
    }
    let cancel = format!("/tasks/{}/cancel", cancelled.id());
    service.post(&cancel, "text/plain", "").await.ok(202);
    let list = service.get("/newsletters").await.ok(200);
    let list = list["newsletters"].as_array().unwrap();
    let told: Vec<_> = list
        .iter()
        .map(|one| one["summary"].as_str().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "sending: 0 sent, 0 in doubt, 12 left",
            "failed: 0 sent, 1 in doubt, 11 left",
            "stopped: 0 sent, 1 in doubt, 11 left",
            "failed: 0 sent, 1 in doubt, 11 left",
        ]
    );
}
