//! A database that takes nothing more, as its disk is full: it says so with the commit.

use serde_json::json;

use crate::{
    mail_server::MailServer,
    newsletter::{deliveries, sent},
    service::Service,
};

/// Lets whatever commits an event fail, as late as a full disk does.
fn refuse(service: &Service, event: &str) {
    let trigger = format!(
        "CREATE TABLE nobody (id INTEGER PRIMARY KEY);
         CREATE TABLE refused (id REFERENCES nobody DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER refuse AFTER {event} BEGIN INSERT INTO refused VALUES (1); END"
    );
    service.database().execute_batch(&trigger).unwrap();
}

async fn service() -> (MailServer, Service) {
    let server = MailServer::start(|_| false).await;
    let service = Service::with(|config| config.smtp_url = Some(server.url().parse().unwrap()));
    (server, service)
}

/// Otherwise whoever starts after a kill would not know that it went out.
#[tokio::test]
async fn a_mail_whose_claim_is_not_in_the_database_is_not_sent() {
    let (server, service) = service().await;
    refuse(&service, "INSERT ON deliveries");
    let task = sent(&service, "unclaimed").await;
    assert_eq!(task["error"], "the database failed", "{task}");
    assert_eq!(server.mails().len(), 0);
    assert_eq!(deliveries(&service.database(), "sending"), 0);
}

#[tokio::test]
async fn a_newsletter_that_is_not_in_the_database_is_not_sent() {
    let (server, service) = service().await;
    refuse(&service, "INSERT ON newsletters");
    let task = sent(&service, "unknown").await;
    assert_eq!(
        (&task["error"], &task["message"]),
        (&json!("the database failed"), &json!(null)),
        "{task}"
    );
    assert_eq!(server.mails().len(), 0);
    assert_eq!(
        service.get("/newsletters").await.ok(200)["newsletters"],
        json!([])
    );
}

#[tokio::test]
async fn a_newsletter_whose_end_is_not_in_the_database_is_listed_as_it_ended() {
    let (server, service) = service().await;
    refuse(&service, "UPDATE OF state ON newsletters");
    let task = sent(&service, "ended").await;
    assert_eq!(task["message"], "12 sent, 0 failed", "{task}");
    assert_eq!(server.mails().len(), 12);
    let list = service.get("/newsletters").await.ok(200);
    assert_eq!(
        list["newsletters"][0]["summary"], "completed: 12 sent, 0 in doubt, 0 left",
        "{list}"
    );
}
