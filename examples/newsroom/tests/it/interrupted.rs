//! Newsletters whose service ended before they did: the next one on the same data finds and names them.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    binary::{End, Running, get, start_again},
    mail_server::{MailServer, Reply, Stage},
    newsletter::{send, sent},
    service::{Service, eventually},
    shutdown,
};

/// What a service says about newsletters of earlier ones, on its pages.
async fn named(running: &Running) -> Vec<Value> {
    let status: Value = get(&running.url, "/tasks/status")
        .await
        .json()
        .await
        .unwrap();
    let list: Value = get(&running.url, "/newsletters")
        .await
        .json()
        .await
        .unwrap();
    let interrupted = status["newsletters"]["interrupted"]
        .as_array()
        .unwrap()
        .clone();
    let listed = list["newsletters"].as_array().unwrap();
    assert!(
        interrupted.iter().all(|one| listed.contains(one)),
        "{status} {list}"
    );
    interrupted
}

fn warnings(end: &End) -> Vec<&str> {
    end.log
        .lines()
        .filter(|line| line.contains("WARN") && line.contains("earlier service"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newsletter_cut_off_by_a_kill_is_named_at_the_next_start() {
    let mail_server = shutdown::silent_at_the_third().await;
    let running = shutdown::start(&mail_server, "30", &["--smtp-limit", "600"]).await;
    eventually(async || (mail_server.mails().len() == 3).then_some(())).await;
    let killed = running.stop("KILL").await;
    assert_eq!(killed.code, None, "{killed:?}");

    let running = start_again(killed);
    let found = named(&running).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0]["summary"],
        "interrupted: 2 sent, 1 in doubt, 9 left"
    );
    assert_eq!(found[0]["subject"], "stop press");
    assert_eq!(
        [
            &found[0]["total"],
            &found[0]["sent"],
            &found[0]["in_doubt"],
            &found[0]["left"]
        ],
        [&json!(12), &json!(2), &json!(1), &json!(9)]
    );
    let end = running.stop("TERM").await;
    let said = warnings(&end);
    assert_eq!(said.len(), 1, "{end:?}");
    assert!(
        said[0].contains("interrupted: 2 sent, 1 in doubt, 9 left"),
        "{end:?}"
    );
    assert!(
        said[0].contains("subject=\"stop press\"") && said[0].contains("in_doubt=1"),
        "{end:?}"
    );
    assert_eq!(
        (end.deliveries("sending"), end.deliveries("in doubt")),
        (0, 1)
    );

    // It stays in the lists, and the log has said it.
    let running = start_again(end);
    assert_eq!(named(&running).await, found);
    let end = running.stop("TERM").await;
    assert!(warnings(&end).is_empty(), "{end:?}");
    assert_eq!(mail_server.mails().len(), 3, "nobody gets it twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newsletter_stopped_by_the_shutdown_is_named_at_the_next_start_with_none_in_doubt() {
    let mail_server = MailServer::that(|stage, address| match stage {
        Stage::To if address.contains(".4@") => Reply::Nothing,
        _ => Reply::Fine,
    });
    let mail_server = mail_server.await;
    let running = shutdown::start(&mail_server, "4", &["--smtp-limit", "600"]).await;
    eventually(async || (mail_server.asked(Stage::To) == 4).then_some(())).await;
    let stopped = running.stop("TERM").await;
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    let running = start_again(stopped);
    let found = named(&running).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0]["summary"],
        "interrupted: 3 sent, 0 in doubt, 9 left"
    );
    assert_eq!(warnings(&running.stop("TERM").await).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newsletter_cut_off_by_the_end_of_the_shutdown_is_named_too() {
    let mail_server = shutdown::silent_at_the_third().await;
    let running = shutdown::start(&mail_server, "0.2", &["--smtp-limit", "600"]).await;
    eventually(async || (mail_server.mails().len() == 3).then_some(())).await;
    let cut_off = running.stop("TERM").await;
    assert_eq!(cut_off.code, Some(70), "{cut_off:?}");
    let running = start_again(cut_off);
    assert_eq!(
        named(&running).await[0]["summary"],
        "interrupted: 2 sent, 1 in doubt, 9 left"
    );
    running.stop("TERM").await;
}

/// A cancelled one was meant to end, and the others did.
#[tokio::test]
async fn a_newsletter_that_ended_is_not_named() {
    let service = Service::new();
    sent(&service, "completed").await;
    let mail_server = MailServer::but(Stage::To, Reply::Nothing).await;
    let service =
        Service::with(|config| config.smtp_url = Some(mail_server.url().parse().unwrap()));
    let id = send(&service, "cancelled").await["task_id"]
        .as_u64()
        .unwrap();
    eventually(async || (mail_server.asked(Stage::To) == 1).then_some(())).await;
    service
        .post(&format!("/tasks/{id}/cancel"), "text/plain", "")
        .await
        .ok(202);
    service.ended(id).await;
    let db = Connection::open(service.path("newsroom.db")).unwrap();
    let sending: u64 = db
        .query_row(
            "SELECT count(*) FROM newsletters WHERE state = 'sending'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(sending, 0);
    let status = service.get("/tasks/status").await.ok(200);
    assert_eq!(status["newsletters"], json!({ "interrupted": [] }));
}
