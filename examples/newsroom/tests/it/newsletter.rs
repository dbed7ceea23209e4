use serde_json::{Value, json};

use crate::{
    database::Database,
    log,
    mail_server::{MailServer, Reply, Stage},
    service::{Service, eventually},
};

const JSON: &str = "application/json";

pub(crate) async fn send(service: &Service, subject: &str) -> Value {
    let letter = json!({ "subject": subject, "body": "Grüße.\n.\nA dot stood alone." }).to_string();
    service.post("/send-newsletter", JSON, letter).await.ok(202)
}

/// Sends a newsletter and returns its task when it has ended.
pub(crate) async fn sent(service: &Service, subject: &str) -> Value {
    let task = send(service, subject).await["task_id"]
        .as_str()
        .unwrap()
        .to_owned();
    service.ended(task).await
}

fn break_address(db: &Database, id: u64) {
    db.run(&format!(
        "UPDATE subscribers SET email = 'not an address' WHERE id = {id}"
    ));
}

pub(crate) fn deliveries(db: &Database, state: &str) -> u64 {
    db.value(&format!(
        "SELECT count(*) FROM newsroom_deliveries WHERE state = '{state}'"
    ))
}

#[tokio::test]
async fn the_answer_names_the_task_that_sends() {
    let service = Service::new();
    let answer = send(&service, "named").await;
    assert_eq!(answer["status"], "Newsletter sending started");
    let task = service
        .ended(answer["task_id"].as_str().unwrap().to_owned())
        .await;
    assert_eq!(task["name"], "send newsletter");
    assert_eq!(task["state"], "completed");
    assert_eq!((&task["done"], &task["total"]), (&json!(12), &json!(12)));
    assert_eq!(task["message"], "12 sent, 0 failed");
}

#[tokio::test]
async fn every_subscriber_gets_a_file_in_the_outbox() {
    let service = Service::new();
    sent(&service, "Häuser und Brücken").await;
    let files = std::fs::read_dir(service.path("outbox/newsletter-1")).unwrap();
    assert_eq!(files.count(), 12);
    let mail = std::fs::read_to_string(service.path("outbox/newsletter-1/5.eml")).unwrap();
    assert!(mail.contains("\r\nTo: "), "{mail}");
    assert!(mail.contains(".5@example.org"), "{mail}");
    assert!(mail.contains("Subject: =?utf-8?b?"), "{mail}");
    assert_eq!(deliveries(&service.jobs(), "sent"), 12);
}

#[tokio::test]
async fn a_bad_address_is_logged_and_the_next_ones_get_their_mail() {
    let service = Service::new();
    break_address(&service.database(), 3);
    let task = sent(&service, "one fails").await;
    assert_eq!(task["state"], "completed");
    assert_eq!(task["message"], "11 sent, 1 failed");
    let db = service.jobs();
    assert_eq!(
        (deliveries(&db, "sent"), deliveries(&db, "failed")),
        (11, 1)
    );
    let error: String = db.value("SELECT error FROM newsroom_deliveries WHERE subscriber = 3");
    assert!(!error.is_empty());
    let lines = log::lines_with("not an address");
    assert!(
        lines
            .iter()
            .any(|line| line["subscriber"] == 3 && line["level"] == "WARN"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn two_newsletters_are_two_mails_each() {
    let service = Service::new();
    sent(&service, "first").await;
    sent(&service, "second").await;
    assert_eq!(deliveries(&service.jobs(), "sent"), 24);
    assert_eq!(
        std::fs::read_dir(service.path("outbox")).unwrap().count(),
        2
    );
}

#[tokio::test]
async fn a_delivery_cannot_be_claimed_twice() {
    let service = Service::new();
    sent(&service, "once").await;
    let again = service.jobs().try_run(
        "INSERT INTO newsroom_deliveries (newsletter, subscriber, state, updated) VALUES (1, 1, 'sending', '')",
    );
    assert!(again.is_err());
}

#[tokio::test]
async fn a_cancelled_newsletter_stops_between_two_subscribers() {
    // A server that takes its time, so that there is one to cancel.
    let server = MailServer::start(|address| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        address.is_empty()
    })
    .await;
    let service = Service::with(|config| config.smtp_url = Some(server.url().parse().unwrap()));
    let id = send(&service, "stopped").await["task_id"]
        .as_str()
        .unwrap()
        .to_owned();
    eventually(async || (!server.mails().is_empty()).then_some(())).await;
    service
        .post(&format!("/tasks/{id}/cancel"), JSON, "")
        .await
        .ok(202);
    let task = service.ended(id).await;
    let done = task["done"].as_u64().unwrap();
    assert!((1..12).contains(&done), "{task}");
    assert_eq!(
        (&task["state"], &task["error"]),
        (&json!("cancelled"), &json!(null))
    );
    assert!(
        task["message"].as_str().unwrap().starts_with("stopped"),
        "{task}"
    );
    // Nobody is left in the middle: what was begun was finished.
    let db = service.jobs();
    assert_eq!(
        (deliveries(&db, "sending"), deliveries(&db, "sent")),
        (0, done)
    );
    assert_eq!(server.mails().len() as u64, done);
}

/// The whole conversation, with a server that speaks SMTP.
#[tokio::test]
async fn a_mail_server_gets_every_mail_once() {
    let server = MailServer::start(|_| false).await;
    let service = Service::with(|config| config.smtp_url = Some(server.url().parse().unwrap()));
    let task = sent(&service, "by SMTP").await;
    assert_eq!(task["message"], "12 sent, 0 failed");
    let mails = server.mails();
    assert_eq!(mails.len(), 12);
    let mut recipients: Vec<_> = mails.iter().map(|mail| mail.to.clone()).collect();
    recipients.sort_unstable();
    recipients.dedup();
    assert_eq!(recipients.len(), 12);
    assert_eq!(mails[0].from, "newsletter@newsroom.example");
    assert!(
        mails[0].text.contains("Subject: by SMTP"),
        "{}",
        mails[0].text
    );
    // A line with nothing but a dot ends a mail in SMTP; this one is in the middle.
    assert!(
        mails[0].text.contains("A dot stood alone."),
        "{}",
        mails[0].text
    );
    // Nothing goes to the outbox then.
    assert_eq!(
        std::fs::read_dir(service.path("outbox")).unwrap().count(),
        0
    );
}

#[tokio::test]
async fn an_address_that_the_mail_server_refuses_is_failed_and_the_rest_go_out() {
    let server = MailServer::start(|address| address.contains(".4@")).await;
    let service = Service::with(|config| config.smtp_url = Some(server.url().parse().unwrap()));
    let task = sent(&service, "one refused").await;
    assert_eq!(task["message"], "11 sent, 1 failed");
    assert_eq!(server.mails().len(), 11);
    let error: String = service
        .jobs()
        .value("SELECT error FROM newsroom_deliveries WHERE subscriber = 4");
    assert!(error.contains("no such mailbox"), "{error}");
}

#[tokio::test]
async fn a_mail_server_that_is_down_fails_the_task_after_three_tries_and_no_address_has_failed() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let service = Service::with(|config| {
        config.smtp_url = Some(format!("smtp://{nobody}").parse().unwrap());
        config.smtp_retry_after = std::time::Duration::from_millis(20);
    });
    let task = sent(&service, "nobody there").await;
    assert_eq!(task["state"], "failed", "{task}");
    assert_eq!(task["error"], "the mail server cannot be reached");
    assert_eq!(task["message"], "failed: 0 sent, 0 failed, 12 left");
    let rows: u64 = service
        .jobs()
        .value("SELECT count(*) FROM newsroom_deliveries");
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn an_outbox_that_cannot_be_written_fails_the_task_with_the_reason() {
    let service = Service::new();
    std::fs::remove_dir(service.path("outbox")).unwrap();
    std::fs::write(service.path("outbox"), "no folder").unwrap();
    let task = sent(&service, "no outbox").await;
    assert_eq!(task["state"], "failed", "{task}");
    let error =
        "nobody is known to have got it: 12 failed, the last could not be written to the outbox";
    assert_eq!(task["error"], error);
}

#[tokio::test]
async fn the_list_of_newsletters_tells_how_each_ended() {
    let service = Service::new();
    sent(&service, "all good").await;
    service
        .database()
        .run("UPDATE subscribers SET email = 'none ' || id");
    sent(&service, "all bad").await;
    let list = service.get("/newsletters").await.ok(200);
    let ends: Vec<_> = list["newsletters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["summary"])
        .collect();
    assert_eq!(
        ends,
        [
            "failed: 0 sent, 0 in doubt, 0 left, 12 failed",
            "completed: 12 sent, 0 in doubt, 0 left"
        ]
    );
    assert_eq!(list["newsletters"][1]["subject"], "all good");
}

#[tokio::test]
async fn a_body_of_another_kind_is_told_what_a_letter_is_in_words_of_the_client() {
    let service = Service::new();
    for body in [r#""hello""#, "7", "null"] {
        let problem = service
            .post("/send-newsletter", JSON, body)
            .await
            .problem(422)
            .to_string();
        assert!(
            problem.contains("an object with `subject` and `body`"),
            "{problem}"
        );
        assert!(!problem.contains("struct"), "{problem}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_letter_is_refused() {
    let service = Service::new();
    let long = "x".repeat(201);
    for (status, content_type, body) in [
        (
            415,
            "text/plain",
            r#"{"subject":"a","body":"b"}"#.to_owned(),
        ),
        (400, JSON, "{".to_owned()),
        (400, JSON, String::new()),
        (422, JSON, r#"{"subject":"a"}"#.to_owned()),
        (422, JSON, r#"{"subject":7,"body":"b"}"#.to_owned()),
        (422, JSON, r#"{"subject":" ","body":"b"}"#.to_owned()),
        (422, JSON, r#"{"subject":"a","body":""}"#.to_owned()),
        (
            422,
            JSON,
            r#"{"subject":"a\r\nBcc: everybody@example.org","body":"b"}"#.to_owned(),
        ),
        (422, JSON, format!(r#"{{"subject":"{long}","body":"b"}}"#)),
        (
            422,
            JSON,
            format!(r#"{{"subject":"a","body":"{}"}}"#, "x".repeat(100_001)),
        ),
        (
            413,
            JSON,
            format!(r#"{{"subject":"a","body":"{}"}}"#, "x".repeat(3_000_000)),
        ),
    ] {
        service
            .post("/send-newsletter", content_type, body)
            .await
            .problem(status);
    }
    let list = service.get("/newsletters").await.ok(200);
    assert_eq!(list["newsletters"], json!([]));
    let status = service.get("/tasks/status").await.ok(200);
    assert!(!status.to_string().contains("send newsletter"), "{status}");
}

/// Each of them has its whole letter in memory and writes to the one database.
#[tokio::test]
async fn eight_newsletters_are_under_way_at_most_and_the_next_is_told_to_come_again() {
    let server = MailServer::but(Stage::Connected, Reply::Nothing).await;
    let service = Service::with(|config| config.smtp_url = Some(server.url().parse().unwrap()));
    let mut tasks = Vec::new();
    for _ in 0..8 {
        tasks.push(
            send(&service, "one of eight").await["task_id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    let letter = json!({ "subject": "the ninth", "body": "b" }).to_string();
    let answer = service.post("/send-newsletter", JSON, letter.clone()).await;
    answer.problem(503);
    assert_eq!(answer.header("retry-after"), Some("10"));
    for task in tasks {
        service
            .post(&format!("/tasks/{task}/cancel"), JSON, "")
            .await
            .ok(202);
        service.ended(task).await;
    }
    let ninth = service.post("/send-newsletter", JSON, letter).await.ok(202)["task_id"]
        .as_str()
        .unwrap()
        .to_owned();
    service
        .post(&format!("/tasks/{ninth}/cancel"), JSON, "")
        .await
        .ok(202);
}

#[tokio::test]
async fn a_mail_that_cannot_be_written_leaves_no_half_of_it() {
    let service = Service::new();
    // It takes the name of a mail.
    std::fs::create_dir_all(service.path("outbox/newsletter-1/3.eml/in the way")).unwrap();
    let task = sent(&service, "in the way").await;
    assert_eq!(task["message"], "11 sent, 1 failed", "{task}");
    assert_eq!(
        std::fs::read_dir(service.path("outbox/newsletter-1"))
            .unwrap()
            .count(),
        12
    );
    assert_eq!(
        std::fs::read_dir(service.path("outbox")).unwrap().count(),
        1
    );
}

/// Subscribers are read some hundred at a time, and may go before their turn.
#[tokio::test]
async fn who_unsubscribes_meanwhile_gets_no_mail_and_all_others_do() {
    let server = MailServer::that(|stage, _| match stage {
        Stage::Text => Reply::FineAfter(std::time::Duration::from_millis(20)),
        _ => Reply::Fine,
    })
    .await;
    let service = Service::with(|config| config.smtp_url = Some(server.url().parse().unwrap()));
    let id = send(&service, "unsubscribed").await["task_id"]
        .as_str()
        .unwrap()
        .to_owned();
    eventually(async || (!server.mails().is_empty()).then_some(())).await;
    service
        .database()
        .run("DELETE FROM subscribers WHERE id = 12");
    let task = service.ended(id).await;
    assert_eq!(
        (&task["state"], &task["message"]),
        (&json!("completed"), &json!("11 sent, 0 failed")),
        "{task}"
    );
    assert_eq!((&task["done"], &task["total"]), (&json!(11), &json!(11)));
    let list = service.get("/newsletters").await.ok(200);
    assert_eq!(
        list["newsletters"][0]["summary"],
        "completed: 11 sent, 0 in doubt, 0 left"
    );
}

#[tokio::test]
async fn an_odd_row_costs_nobody_else_the_mail() {
    let service = Service::new();
    let odd = "INSERT INTO subscribers VALUES
        (-5, 'below zero', 'below@example.org'), (0, 'zero', 'zero@example.org'),
        (50, x'00ff', 'blob@example.org'), (51, 7, 7.5), (52, '', x'ff')";
    service.database().run(odd);
    let task = sent(&service, "odd").await;
    assert_eq!(
        (&task["state"], &task["message"]),
        (&json!("completed"), &json!("15 sent, 2 failed")),
        "{task}"
    );
    assert_eq!((&task["done"], &task["total"]), (&json!(17), &json!(17)));
}
