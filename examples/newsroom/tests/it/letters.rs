//! What a mail looks like, whatever its author wrote and whoever is on the list.

use serde_json::json;

use crate::{
    database::Database,
    mail_server::MailServer,
    newsletter::{send, sent},
    service::Service,
};

const JSON: &str = "application/json";

async fn service(server: &MailServer) -> Service {
    Service::with(|config| config.smtp_url = Some(server.url().parse().unwrap()))
}

fn set(db: &Database, id: u64, column: &str, value: &str) {
    let update = format!("UPDATE subscribers SET {column} = ?1 WHERE id = {id}");
    db.run_with(&update, &[value]);
}

#[tokio::test]
async fn a_name_that_is_no_line_of_text_stops_no_mail_and_adds_no_header() {
    let server = MailServer::start(|_| false).await;
    let service = service(&server).await;
    let db = service.database();
    set(&db, 1, "name", "Ada\r\nBcc: evil@example.org");
    set(&db, 2, "name", "nul\0and \u{1b}[31mred");
    set(&db, 3, "name", &"x".repeat(5_000));
    set(&db, 4, "name", "  ");
    let task = sent(&service, "names").await;
    assert_eq!(
        (&task["state"], &task["message"]),
        (&json!("completed"), &json!("12 sent, 0 failed")),
        "{task}"
    );
    let mails = server.mails();
    for mail in &mails {
        assert!(
            !mail.text.lines().any(|line| line.starts_with("Bcc:")),
            "{}",
            mail.text
        );
        assert!(
            mail.text.lines().all(|line| line.len() < 998),
            "{}",
            mail.text
        );
        assert!(!mail.text.contains(['\0', '\u{1b}']), "{}", mail.text);
    }
    assert!(
        mails[0].text.contains("Dear Ada Bcc: evil@example.org,"),
        "{}",
        mails[0].text
    );
    assert!(mails[3].text.contains("Dear reader,"), "{}", mails[3].text);
}

#[tokio::test]
async fn a_mail_goes_to_the_address_and_to_no_part_of_a_name() {
    let server = MailServer::start(|_| false).await;
    let service = service(&server).await;
    let db = service.database();
    set(&db, 1, "email", r#""quo ted"@example.org"#);
    set(&db, 2, "email", "ada@[127.0.0.1]");
    set(
        &db,
        3,
        "name",
        r#""Ada" <other@example.org>, another@example.org"#,
    );
    set(&db, 3, "email", "ada@example.org");
    let task = sent(&service, "addresses").await;
    assert_eq!(task["message"], "12 sent, 0 failed", "{task}");
    let to: Vec<_> = server
        .mails()
        .into_iter()
        .map(|mail| mail.to)
        .take(3)
        .collect();
    assert_eq!(
        to,
        [
            r#""quo ted"@example.org"#,
            "ada@[127.0.0.1]",
            "ada@example.org"
        ]
    );
}

/// Mail servers differ in what they take for the end of a line, and so for the end of a mail.
#[tokio::test]
async fn every_line_of_a_mail_ends_in_cr_lf_whatever_its_author_wrote() {
    let service = Service::new();
    let letter =
        json!({ "subject": "dots", "body": "a\r.\rMAIL FROM:<x>\n.\n\r\nb\r" }).to_string();
    let task = service.post("/send-newsletter", JSON, letter).await.ok(202);
    service
        .ended(task["task_id"].as_str().unwrap().to_owned())
        .await;
    let mail = std::fs::read_to_string(service.path("outbox/newsletter-1/1.eml")).unwrap();
    assert!(!mail.replace("\r\n", "").contains(['\r', '\n']), "{mail:?}");
    assert!(
        mail.contains("\r\na\r\n.\r\nMAIL FROM:<x>\r\n.\r\n\r\nb\r\n"),
        "{mail:?}"
    );
}

#[tokio::test]
async fn a_body_with_control_characters_is_refused() {
    let service = Service::new();
    for control in ["\0", "\u{1b}", "\u{8}", "\u{7f}", "\u{85}"] {
        let letter = json!({ "subject": "a", "body": format!("b{control}c") }).to_string();
        let problem = service
            .post("/send-newsletter", JSON, letter)
            .await
            .problem(422);
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("`body` is text"),
            "{problem}"
        );
    }
    send(&service, "tabs and line breaks are text").await;
}
