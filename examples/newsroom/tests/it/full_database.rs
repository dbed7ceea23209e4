//! A database that takes nothing more, as its disk is full: it says so with the commit, and the newsletter waits for room.

use serde_json::{Value, json};

use crate::{
    mail_server::MailServer,
    newsletter::{deliveries, send},
    service::{Service, eventually},
};

/// Lets whatever commits an event fail, as late as a full disk does.
fn refuse(service: &Service, event: &str) {
    let trigger = format!(
        "CREATE TABLE nobody (id INTEGER PRIMARY KEY);
         CREATE TABLE refused (id REFERENCES nobody DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER refuse AFTER {event} BEGIN INSERT INTO refused VALUES (1); END"
    );
    service.jobs().run(&trigger);
}

async fn service() -> (MailServer, Service) {
    let server = MailServer::start(|_| false).await;
    let service = Service::with(|config| config.smtp_url = Some(server.url().parse().unwrap()));
    // Makes the tables.
    service.get("/newsletters").await.ok(200);
    (server, service)
}

/// Sends a newsletter, and waits until it or a part of it is to be tried again.
async fn troubled(service: &Service) -> String {
    let id = send(service, "no room").await["task_id"]
        .as_str()
        .unwrap()
        .to_owned();
    eventually(async || {
        let troubled: u64 = service
            .jobs()
            .value("SELECT count(*) FROM nexios_jobs WHERE error = 'the database failed'");
        (troubled > 0).then_some(())
    })
    .await;
    id
}

/// It ends as if nothing had been.
async fn with_room_again(service: &Service, id: String) -> Value {
    service.jobs().run("DROP TRIGGER refuse");
    let task = service.ended(id).await;
    assert_eq!(
        (&task["state"], &task["message"]),
        (&json!("completed"), &json!("12 sent, 0 failed")),
        "{task}"
    );
    let list = service.get("/newsletters").await.ok(200);
    assert_eq!(list["newsletters"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(
        list["newsletters"][0]["summary"],
        "completed: 12 sent, 0 in doubt, 0 left"
    );
    list
}

/// Otherwise whoever goes on after a kill would not know that it went out.
#[tokio::test]
async fn a_mail_whose_claim_is_not_in_the_database_is_not_sent_until_it_is() {
    let (server, service) = service().await;
    refuse(&service, "INSERT ON newsroom_deliveries");
    let id = troubled(&service).await;
    assert_eq!(server.mails().len(), 0);
    assert_eq!(deliveries(&service.jobs(), "sending"), 0);
    with_room_again(&service, id).await;
    assert_eq!(server.mails().len(), 12);
}

#[tokio::test]
async fn a_newsletter_that_is_not_in_the_database_is_not_sent_until_it_is() {
    let (server, service) = service().await;
    refuse(&service, "INSERT ON newsroom_newsletters");
    let id = troubled(&service).await;
    assert_eq!(server.mails().len(), 0);
    assert_eq!(
        service.get("/newsletters").await.ok(200)["newsletters"],
        json!([])
    );
    with_room_again(&service, id).await;
    assert_eq!(server.mails().len(), 12);
}

#[tokio::test]
async fn a_newsletter_whose_end_is_not_in_the_database_ends_when_it_is_and_nobody_gets_it_twice() {
    let (server, service) = service().await;
    refuse(&service, "UPDATE OF state ON newsroom_newsletters");
    let id = troubled(&service).await;
    assert_eq!(server.mails().len(), 12);
    with_room_again(&service, id).await;
    assert_eq!(server.mails().len(), 12);
}
