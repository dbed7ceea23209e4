//! Mail servers that hang, hang up, refuse and babble: a newsletter ends in its time and says what went out.

use std::{
    collections::HashSet,
    sync::Mutex,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use newsroom::Config;
use serde_json::{Value, json};

use crate::{
    log,
    mail_server::{MailServer, Reply, Stage},
    newsletter::{deliveries, send, sent},
    service::{Service, eventually},
    shutdown,
};

/// Much longer than any of these tests may take.
const FOR_EVER: Duration = Duration::from_secs(600);
/// What a loaded machine may need for anything.
const A_WHILE: Duration = Duration::from_secs(15);
const SHORT: Duration = Duration::from_millis(200);

fn service(server: &MailServer, change: impl FnOnce(&mut Config)) -> Service {
    Service::with(|config| {
        config.smtp_url = Some(server.url().parse().unwrap());
        config.smtp_retry_after = Duration::from_millis(20);
        change(config);
    })
}

/// What the database says: deliveries in each state, and the newsletter's own counts.
fn states(service: &Service) -> Value {
    let db = service.jobs();
    let counts = |state| deliveries(&db, state);
    let state: String = db.value("SELECT state FROM newsroom_newsletters");
    let own = ["sent", "failed", "in_doubt"]
        .map(|count| db.value::<u64>(&format!("SELECT {count} FROM newsroom_newsletters")));
    let rows = [counts("sent"), counts("failed"), counts("in doubt")];
    assert_eq!(
        rows, own,
        "the newsletter's own counts are those of its deliveries"
    );
    assert_eq!(counts("sending"), 0);
    json!({ "state": state, "sent": own[0], "failed": own[1], "in_doubt": own[2] })
}

#[tokio::test]
async fn a_server_that_stops_answering_before_the_text_fails_the_newsletter_at_the_time_limit() {
    let tried = Stage::BEFORE_THE_TEXT.map(async |stage| {
        let server = MailServer::but(stage, Reply::Nothing).await;
        let service = service(&server, |config| config.smtp_limit = SHORT);
        let task = sent(&service, "silence").await;
        assert_eq!(task["state"], "failed", "{stage:?} {task}");
        assert_eq!(
            task["error"], "the mail server does not answer",
            "{stage:?} {task}"
        );
        assert_eq!(
            task["message"], "failed: 0 sent, 0 failed, 12 left",
            "{stage:?} {task}"
        );
        let none = json!({ "state": "failed", "sent": 0, "failed": 0, "in_doubt": 0 });
        assert_eq!(states(&service), none, "{stage:?}");
        assert_eq!(
            server.asked(stage),
            3,
            "{stage:?}: it may come back, so it is tried again"
        );
    });
    join_all(tried).await;
}

#[tokio::test]
async fn a_mail_whose_text_is_never_answered_is_in_doubt_at_the_time_limit_and_not_tried_again() {
    let server = MailServer::but(Stage::Text, Reply::Nothing).await;
    let service = service(&server, |config| config.smtp_limit = SHORT);
    let task = sent(&service, "no word").await;
    assert_eq!(
        (&task["state"], &task["done"]),
        (&json!("failed"), &json!(12)),
        "{task}"
    );
    assert_eq!(
        task["message"],
        "failed: 0 sent, 0 failed, 12 in doubt, 0 left"
    );
    let error = "nobody is known to have got it: 0 failed, 12 in doubt, the last is in doubt";
    assert_eq!(task["error"], error);
    assert_eq!(
        states(&service),
        json!({ "state": "failed", "sent": 0, "failed": 0, "in_doubt": 12 })
    );
    assert_eq!(server.mails().len(), 12);
}

#[tokio::test]
async fn a_cancelled_newsletter_does_not_wait_for_a_silent_server() {
    let tried = Stage::ALL.map(async |stage| {
        let server = MailServer::but(stage, Reply::Nothing).await;
        let service = service(&server, |config| config.smtp_limit = FOR_EVER);
        let id = send(&service, "cancelled").await["task_id"]
            .as_str()
            .unwrap()
            .to_owned();
        eventually(async || (server.asked(stage) > 0).then_some(())).await;
        let begun = Instant::now();
        service
            .post(&format!("/tasks/{id}/cancel"), "text/plain", "")
            .await
            .ok(202);
        let task = service.ended(id).await;
        assert!(
            begun.elapsed() < A_WHILE,
            "{stage:?}: {:?}",
            begun.elapsed()
        );
        assert_eq!(task["state"], "cancelled", "{stage:?} {task}");
        let in_doubt = u64::from(stage == Stage::Text);
        let said = if in_doubt == 1 {
            "0 failed, 1 in doubt, 11 left"
        } else {
            "0 failed, 12 left"
        };
        assert_eq!(
            task["message"],
            format!("stopped: 0 sent, {said}"),
            "{stage:?}"
        );
        let stopped = json!({ "state": "stopped", "sent": 0, "failed": 0, "in_doubt": in_doubt });
        assert_eq!(states(&service), stopped, "{stage:?}");
    });
    join_all(tried).await;
}

/// The whole process, at each stage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shutdown_does_not_wait_for_a_silent_server_and_gives_nothing_up() {
    let tried = Stage::ALL.map(async |stage| {
        let server = MailServer::but(stage, Reply::Nothing).await;
        let running = shutdown::start(&server, "6", &["--smtp-limit", "600"]).await;
        eventually(async || (server.asked(stage) > 0).then_some(())).await;
        let end = running.stop("TERM").await;
        assert_eq!(end.code, Some(0), "{stage:?} {end:?}");
        assert!(end.took < Duration::from_secs(10), "{stage:?} {end:?}");
        assert_eq!(end.sent("newsletter handed back"), 0, "{stage:?} {end:?}");
        let in_doubt = u64::from(stage == Stage::Text);
        assert!(
            end.log.contains(&format!("left={}", 12 - in_doubt)),
            "{stage:?} {end:?}"
        );
        assert_eq!(
            (
                end.deliveries("in doubt"),
                end.deliveries("sending"),
                end.deliveries("sent")
            ),
            (in_doubt, 0, 0),
            "{stage:?}"
        );
    });
    join_all(tried).await;
}

#[tokio::test]
async fn a_connection_lost_after_the_text_leaves_one_in_doubt_that_is_neither_sent_nor_failed() {
    let late = Reply::FineAfter(Duration::from_secs(3));
    for (reply, limit) in [(Reply::HangUp, FOR_EVER), (late, Duration::from_secs(1))] {
        let server = MailServer::that(move |stage, address| match stage {
            Stage::Text if address.contains(".3@") => reply,
            _ => Reply::Fine,
        });
        let server = server.await;
        let service = service(&server, |config| config.smtp_limit = limit);
        let task = sent(&service, "lost").await;
        assert_eq!(task["state"], "completed", "{task}");
        assert_eq!(task["message"], "11 sent, 0 failed, 1 in doubt");
        assert_eq!((&task["done"], &task["total"]), (&json!(12), &json!(12)));
        // Nobody has it twice, and the answer that came too late was nobody else's.
        assert_eq!(server.mails().len(), 12);
        let counts = json!({ "state": "completed", "sent": 11, "failed": 0, "in_doubt": 1 });
        assert_eq!(states(&service), counts);
    }
}

#[tokio::test]
async fn a_mail_refused_for_now_is_tried_again_and_then_failed() {
    for stage in [Stage::From, Stage::To, Stage::Data, Stage::Text] {
        let server = MailServer::but(stage, Reply::Say("451 come back later")).await;
        let service = service(&server, |_| {});
        let task = sent(&service, "451").await;
        assert_eq!(task["state"], "failed", "{stage:?} {task}");
        let error = "nobody is known to have got it: 12 failed, the last was refused with 451";
        assert_eq!(task["error"], error, "{stage:?}");
        assert_eq!(server.asked(stage), 36, "{stage:?}: three times each");
        let failed = json!({ "state": "failed", "sent": 0, "failed": 12, "in_doubt": 0 });
        assert_eq!(states(&service), failed, "{stage:?}");
    }
}

#[tokio::test]
async fn a_greylisting_server_gets_every_mail_at_the_second_attempt() {
    let known = Mutex::new(HashSet::new());
    let server = MailServer::that(move |stage, address| match stage {
        Stage::To if known.lock().unwrap().insert(address.to_owned()) => {
            Reply::Say("450 greylisted")
        }
        _ => Reply::Fine,
    });
    let server = server.await;
    let service = service(&server, |_| {});
    let task = sent(&service, "greylisted").await;
    assert_eq!(
        (&task["state"], &task["message"]),
        (&json!("completed"), &json!("12 sent, 0 failed"))
    );
    assert_eq!((server.mails().len(), server.asked(Stage::To)), (12, 24));
}

#[tokio::test]
async fn a_mail_refused_for_good_is_tried_once_and_a_newsletter_refused_by_all_has_failed() {
    let server = MailServer::but(Stage::To, Reply::Say("550 no such mailbox")).await;
    let service = service(&server, |_| {});
    let task = sent(&service, "550").await;
    assert_eq!(task["state"], "failed", "{task}");
    let error = "nobody is known to have got it: 12 failed, the last was refused with 550";
    assert_eq!(task["error"], error);
    assert_eq!(server.asked(Stage::To), 12);
}

#[tokio::test]
async fn a_server_that_turns_everybody_away_says_nothing_about_the_subscribers() {
    for (greeting, error) in [
        (
            "554 not you",
            "the mail server turned the service away with 554",
        ),
        (
            "421 not now",
            "the mail server turned the service away with 421",
        ),
        ("hello?", "the conversation with the mail server broke off"),
    ] {
        let server = MailServer::but(Stage::Connected, Reply::Say(greeting)).await;
        let service = service(&server, |_| {});
        let task = sent(&service, "turned away").await;
        assert_eq!(
            (&task["state"], &task["error"]),
            (&json!("failed"), &json!(error)),
            "{greeting}"
        );
        let none = json!({ "state": "failed", "sent": 0, "failed": 0, "in_doubt": 0 });
        assert_eq!(states(&service), none, "{greeting}");
    }
}

#[tokio::test]
async fn a_server_that_comes_back_in_time_gets_the_rest() {
    let clients = Mutex::new(0);
    let server = MailServer::that(move |stage, address| {
        let mut clients = clients.lock().unwrap();
        *clients += u32::from(stage == Stage::Connected);
        match stage {
            // It goes after the third mail, and is not there at the first look for it.
            Stage::To if address.contains(".4@") && *clients == 1 => Reply::HangUp,
            Stage::Connected if *clients == 2 => Reply::HangUp,
            _ => Reply::Fine,
        }
    });
    let server = server.await;
    let service = service(&server, |_| {});
    let task = sent(&service, "restarted").await;
    assert_eq!(task["message"], "12 sent, 0 failed", "{task}");
    assert_eq!(server.mails().len(), 12);
}

#[tokio::test]
async fn a_server_that_babbles_costs_no_memory_and_no_time() {
    for babble in ["220 and so on ", "220-and so on\r\n"] {
        let server = MailServer::but(Stage::Connected, Reply::Forever(babble)).await;
        let service = service(&server, |config| config.smtp_limit = FOR_EVER);
        let begun = Instant::now();
        let task = sent(&service, "babble").await;
        assert_eq!(
            task["error"], "the conversation with the mail server broke off",
            "{task}"
        );
        assert!(begun.elapsed() < A_WHILE);
    }
}

#[tokio::test]
async fn a_cancelled_newsletter_does_not_wait_for_the_next_attempt() {
    let refusing = MailServer::but(Stage::To, Reply::Say("451 come back later")).await;
    let absent = MailServer::but(Stage::Connected, Reply::HangUp).await;
    for (server, asked, left) in [
        (&refusing, (Stage::To, 12), "12 to be tried again"),
        (&absent, (Stage::Connected, 1), ""),
    ] {
        let service = service(server, |config| config.smtp_retry_after = FOR_EVER);
        let id = send(&service, "later").await["task_id"]
            .as_str()
            .unwrap()
            .to_owned();
        eventually(async || (server.asked(asked.0) == asked.1).then_some(())).await;
        service
            .post(&format!("/tasks/{id}/cancel"), "text/plain", "")
            .await
            .ok(202);
        let task = service.ended(id).await;
        assert_eq!(task["state"], "cancelled", "{task}");
        let message = task["message"].as_str().unwrap();
        assert!(
            message.contains(left) && message.ends_with("12 left"),
            "{task}"
        );
    }
}

/// As those of servers do that speak to people: in Latin-1, with colours, in many lines.
#[tokio::test]
async fn a_refusal_that_is_no_plain_text_fails_one_mail_and_not_the_newsletter() {
    let long: &'static str =
        Box::leak(format!("{}550 end", "550-E\u{1b}[31mE \r\n".repeat(500)).into_boxed_str());
    for reply in [
        Reply::Bytes(b"550 utilisateur inconnu, d\xe9sol\xe9"),
        Reply::Say(long),
    ] {
        let server = MailServer::that(move |stage, address| match stage {
            Stage::To if address.contains(".3@") => reply,
            _ => Reply::Fine,
        });
        let server = server.await;
        let service = service(&server, |_| {});
        let task = sent(&service, "refused").await;
        assert_eq!(task["message"], "11 sent, 1 failed", "{reply:?} {task}");
        let error: String = service
            .jobs()
            .value("SELECT error FROM newsroom_deliveries WHERE state = 'failed'");
        assert!(
            error.contains("550") && error.chars().count() <= 501,
            "{error:?}"
        );
        assert!(!error.contains(char::is_control), "{error:?}");
    }
}

/// A text log has a line for each event, and nobody else's.
#[tokio::test]
async fn neither_an_address_nor_a_mail_server_writes_lines_of_its_own_into_the_log() {
    let service = Service::new();
    let forged = "nobody\n2026-01-01T00:00:00Z ERROR forged-by-an-address";
    let forge = "UPDATE subscribers SET email = ?1 WHERE id = 3";
    service.database().run_with(forge, &[forged]);
    sent(&service, "forged").await;
    let lines = log::lines_with("forged-by-an-address");
    assert!(!lines.is_empty());
    for line in lines {
        assert!(!line["address"].as_str().unwrap().contains('\n'), "{line}");
    }
}

#[tokio::test]
async fn a_server_that_is_closing_or_knows_no_such_sender_says_nothing_about_the_subscribers() {
    let mut answers = vec![(Stage::From, "530 log in first", "530")];
    for stage in [Stage::From, Stage::To, Stage::Data, Stage::Text] {
        answers.push((stage, "421 closing", "421"));
    }
    for (stage, reply, code) in answers {
        let server = MailServer::but(stage, Reply::Say(reply)).await;
        let service = service(&server, |_| {});
        let task = sent(&service, "closing").await;
        assert_eq!(
            task["error"],
            format!("the mail server turned the service away with {code}"),
            "{stage:?}"
        );
        let none = json!({ "state": "failed", "sent": 0, "failed": 0, "in_doubt": 0 });
        assert_eq!(states(&service), none, "{stage:?}");
        assert_eq!(
            server.asked(stage),
            3,
            "{stage:?}: it may come back, so it is tried again"
        );
    }
}

#[tokio::test]
async fn a_good_answer_at_the_wrong_place_is_no_answer() {
    let server = MailServer::but(Stage::Data, Reply::Say("250 fine")).await;
    let before = service(&server, |_| {});
    let task = sent(&before, "no 354").await;
    assert_eq!(
        task["error"], "the mail server does not keep to the conversation",
        "{task}"
    );
    assert_eq!(
        states(&before),
        json!({ "state": "failed", "sent": 0, "failed": 0, "in_doubt": 0 })
    );

    let server = MailServer::but(Stage::Text, Reply::Say("354 go on")).await;
    let after = service(&server, |_| {});
    sent(&after, "no 250").await;
    assert_eq!(
        states(&after),
        json!({ "state": "failed", "sent": 0, "failed": 0, "in_doubt": 12 })
    );
}

/// Sixty mails, each of them with several writes that nobody acknowledges at once: 40 ms each if one waits for that.
#[tokio::test]
async fn a_mail_does_not_wait_for_acknowledgements_of_its_pieces() {
    let server = MailServer::start(|_| false).await;
    let service = service(&server, |_| {});
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(
            sent(&service, "quick").await["message"],
            "12 sent, 0 failed"
        );
    }
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}
