//! A service whose log cannot be written loses the log, and nothing else.

use std::{fs::File, process::Stdio, time::Duration};

use newsroom::prepare;
use tempfile::TempDir;

use crate::{
    binary::{Running, get, start_in},
    mail_server::{MailServer, Reply, Stage},
    service::{empty, eventually},
    shutdown::{self, newsletter, post_letter},
};

fn prepared() -> TempDir {
    let (config, folder) = empty();
    prepare(&config).unwrap();
    folder
}

/// As `newsroom 2>/dev/full`: every write says that the disk is full.
fn with_full_disk(arguments: &[&str]) -> Running {
    let full = File::options().write(true).open("/dev/full").unwrap();
    start_in(prepared(), Stdio::from(full), arguments)
}

/// Whoever read the log is gone.
fn with_no_reader(arguments: &[&str]) -> Running {
    let mut running = start_in(prepared(), Stdio::piped(), arguments);
    running.close_log();
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_served_a_newsletter_completes_and_the_end_is_in_order() {
    for start in [with_full_disk, with_no_reader] {
        for format in ["text", "json"] {
            let mail_server = MailServer::that(|stage, _| match stage {
                Stage::Text => Reply::FineAfter(Duration::from_millis(100)),
                _ => Reply::Fine,
            });
            let mail_server = mail_server.await;
            let running = start(&["--log", format, "--smtp-url", &mail_server.url()]);
            for path in [
                "/",
                "/search?q=rust",
                "/dashboard?user_id=7",
                "/analytics/daily",
                "/tasks/status",
            ] {
                assert_eq!(get(&running.url, path).await.status(), 200, "{path}");
            }
            assert_eq!(
                get(&running.url, "/protected-operation?mode=fail")
                    .await
                    .status(),
                500
            );
            assert_eq!(get(&running.url, "/nowhere").await.status(), 404);
            post_letter(&running).await;
            let completed =
                async || (newsletter(&running).await["state"] == "completed").then_some(());
            eventually(completed).await;
            let end = running.stop("TERM").await;
            assert_eq!(end.code, Some(0), "{end:?}");
            assert_eq!(
                (mail_server.mails().len(), end.deliveries("sent")),
                (12, 12)
            );
        }
    }
}

/// The lines about a newsletter that is cut off come from destructors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newsletter_that_is_cut_off_does_not_abort_the_process() {
    let mail_server = shutdown::silent_at_the_third().await;
    let url = mail_server.url();
    let running = with_full_disk(&[
        "--smtp-url",
        &url,
        "--smtp-limit",
        "600",
        "--shutdown-limit",
        "0.75",
    ]);
    post_letter(&running).await;
    eventually(async || {
        (newsletter(&running).await["message"] == "2 sent, 0 failed, 1 on its way").then_some(())
    })
    .await;
    // It is on its way from its claim on; in doubt, and not to be taken back, only with its text.
    eventually(async || (mail_server.mails().len() == 3).then_some(())).await;
    let end = running.stop("TERM").await;
    // The job is handed back, and nothing is lost.
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!((end.deliveries("sent"), end.deliveries("sending")), (2, 1));
}

/// A first start, a start that fails and one that is given nonsense: each has something to say that nobody hears.
#[test]
fn a_start_without_a_log_has_the_exit_code_it_would_have_with_one() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let (config, _folder) = empty();
    prepare(&config).unwrap();
    std::fs::write(config.data.join("newsroom.db"), "garbage").unwrap();
    let mut refused = crate::binary::command(&config.data);
    assert_eq!(
        refused
            .stdout(full())
            .stderr(full())
            .status()
            .unwrap()
            .code(),
        Some(1)
    );
    let mut nonsense = crate::binary::command(&config.data);
    nonsense.arg("--smtp-limit=soon");
    assert_eq!(
        nonsense
            .stdout(full())
            .stderr(full())
            .status()
            .unwrap()
            .code(),
        Some(2)
    );
}
