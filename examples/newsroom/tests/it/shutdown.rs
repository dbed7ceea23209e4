//! A newsletter under way when the process is told to stop: what is reported is what the mail server got.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    binary::{self, End, Running, get},
    database::Database,
    interrupted::{assert_one_each, finished},
    mail_server::{MailServer, Reply, Stage},
    newsletter::deliveries,
    service::eventually,
};

/// A mail takes a moment, so that there is a middle to be stopped in.
fn slowly(_: &str) -> bool {
    std::thread::sleep(Duration::from_millis(50));
    false
}

/// Starts a newsletter to twelve subscribers.
pub(crate) async fn start(mail_server: &MailServer, limit: &str, arguments: &[&str]) -> Running {
    let url = mail_server.url();
    let running =
        binary::start(&[&["--smtp-url", &url, "--shutdown-limit", limit], arguments].concat());
    post_letter(&running).await;
    running
}

pub(crate) async fn post_letter(running: &Running) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let letter = json!({ "subject": "stop press", "body": "twelve mails" });
    let answer = client
        .post(running.url.join("send-newsletter").unwrap())
        .json(&letter)
        .send();
    assert_eq!(answer.await.unwrap().status(), 202);
}

/// Starts it and waits until some mails are out.
async fn send(mail_server: &MailServer, limit: &str) -> Running {
    let running = start(mail_server, limit, &[]).await;
    eventually(async || (mail_server.mails().len() >= 2).then_some(())).await;
    running
}

impl End {
    pub(crate) fn deliveries(&self, state: &str) -> u64 {
        let jobs = Database::open(self.folder.path().join("data/jobs.db"));
        deliveries(&jobs, state)
    }

    /// The names in one of the lists of the last line.
    #[track_caller]
    pub(crate) fn list(&self, list: &str) -> &str {
        let line = self
            .log
            .lines()
            .find(|line| line.contains(": stopped "))
            .expect(&self.log);
        let (_, names) = line.split_once(&format!("{list}=[")).expect(line);
        names.split(']').next().unwrap()
    }

    /// The number in the log line that begins with `what`, as in `newsletter sent tally=12 sent, 0 failed`.
    #[track_caller]
    pub(crate) fn sent(&self, what: &str) -> u64 {
        let line = self
            .log
            .lines()
            .find(|line| line.contains(what))
            .expect(&self.log);
        let (_, tally) = line.split_once("tally=").expect(line);
        tally.split(' ').next().unwrap().parse().unwrap()
    }
}

/// Nobody got it twice, and nobody was left out: so many mails are those to the first so many subscribers.
#[track_caller]
fn assert_the_first(mail_server: &MailServer, sent: u64) {
    let number = |address: String| {
        address
            .rsplit(['.', '@'])
            .nth(2)
            .map(str::to_owned)
            .expect(&address)
    };
    let numbers: Vec<String> = mail_server
        .mails()
        .into_iter()
        .map(|mail| number(mail.to))
        .collect();
    let first: Vec<String> = (1..=sent).map(|number| number.to_string()).collect();
    assert_eq!(numbers, first);
}

pub(crate) async fn newsletter(running: &Running) -> Value {
    let status: Value = get(&running.url, "/tasks/status")
        .await
        .json()
        .await
        .unwrap();
    let tasks = status["tasks"].as_array().unwrap().iter();
    tasks
        .clone()
        .find(|task| task["name"] == "send newsletter")
        .unwrap()
        .clone()
}

/// With an hour left to end in: another process goes on with it, and a deploy waits for nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_much_time_there_is_it_is_handed_back_at_once_and_the_next_start_finishes_it() {
    let mail_server = MailServer::start(slowly).await;
    let end = send(&mail_server, "3600").await.stop("TERM").await;
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.took < Duration::from_secs(10), "{end:?}");
    let sent = end.sent("newsletter handed back");
    assert!((2..12).contains(&sent), "{end:?}");
    assert_the_first(&mail_server, sent);
    for job in ["send newsletter", "send part of newsletter"] {
        assert!(end.list("handed_back").contains(job), "{end:?}");
    }
    let again = binary::start_again(end, &["--smtp-url", &mail_server.url()]);
    let task = finished(&again).await;
    assert_eq!(task["message"], "12 sent, 0 failed", "{task}");
    assert_one_each(&mail_server, 12);
    again.stop("TERM").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_between_two_mails_and_says_exactly_how_many_were_sent() {
    let mail_server = MailServer::start(slowly).await;
    // In all less than is kept for cancelling, so all else is cancelled at once too.
    let running = send(&mail_server, "3").await;
    let seen = newsletter(&running).await;
    let end = running.stop("TERM").await;
    assert_eq!(end.code, Some(0), "{end:?}");
    let sent = end.sent("newsletter handed back");
    assert!(
        (seen["done"].as_u64().unwrap()..12).contains(&sent),
        "{seen} {end:?}"
    );
    assert_the_first(&mail_server, sent);
    // The first ones of the list have it; the others are known by having no delivery.
    assert_eq!(
        (end.deliveries("sent"), end.deliveries("sending")),
        (sent, 0)
    );
    assert!(
        end.list("handed_back").contains("send newsletter"),
        "{end:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_loses_no_count() {
    let mail_server = MailServer::start(slowly).await;
    let running = send(&mail_server, "60").await;
    running.signal("INT");
    tokio::time::sleep(Duration::from_millis(150)).await;
    let end = running.stop("INT").await;
    assert_eq!(end.code, Some(0), "{end:?}");
    let sent = end.sent("newsletter handed back");
    assert!(sent < 12, "{end:?}");
    assert_the_first(&mail_server, sent);
    assert_eq!(
        (end.deliveries("sent"), end.deliveries("sending")),
        (sent, 0)
    );
}

/// A browser that watches holds up nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_live_progress_of_a_newsletter_ends_in_order_with_the_service() {
    let mail_server = MailServer::start(slowly).await;
    let running = send(&mail_server, "30").await;
    let watching = get(&running.url, "/tasks/events").await.text();
    let watching = tokio::spawn(watching);
    // A look or two.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let end = running.stop("TERM").await;
    assert_eq!(end.code, Some(0), "{end:?}");
    let events = watching.await.unwrap().expect("the body has its end");
    assert!(events.contains("\"name\":\"send newsletter\""), "{events}");
    assert!(events.contains("sent, 0 failed"), "{events}");
}

/// The third mail is never answered, and there is no time to wait for it: it may have been sent, and everybody is
/// told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_in_a_mail_it_is_handed_back_with_one_that_nobody_knows_of() {
    let mail_server = silent_at_the_third().await;
    // A third of it to stop: enough for whatever hears of it, and less than a mail server is waited for that has the text.
    let running = start(&mail_server, "0.75", &["--smtp-limit", "600"]).await;
    eventually(async || {
        (newsletter(&running).await["message"] == "2 sent, 0 failed, 1 on its way").then_some(())
    })
    .await;
    // It is on its way from its claim on; in doubt, and not to be taken back, only with its text.
    eventually(async || (mail_server.mails().len() == 3).then_some(())).await;
    let end = running.stop("TERM").await;
    // Nothing is lost but the word of the mail server: another service goes on.
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.took < Duration::from_secs(5), "{end:?}");
    for job in ["send newsletter", "send part of newsletter"] {
        assert!(end.list("handed_back").contains(job), "{end:?}");
    }
    assert_eq!(end.sent("newsletter cut off"), 2);
    assert!(
        end.log.contains("tally=2 sent, 0 failed, 1 on its way"),
        "{end:?}"
    );
    let in_doubt = "cut off in a mail, which is in doubt newsletter=1 subscriber=3";
    assert!(end.log.contains(in_doubt), "{end:?}");
    assert_eq!((end.deliveries("sent"), end.deliveries("sending")), (2, 1));
    assert_the_first(&mail_server, 3);
}

/// A server that takes the third text and never says so.
pub(crate) async fn silent_at_the_third() -> MailServer {
    MailServer::that(|stage, address| match stage {
        Stage::Text if address.contains(".3@") => Reply::Nothing,
        _ => Reply::Fine,
    })
    .await
}
