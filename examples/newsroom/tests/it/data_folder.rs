//! One data folder and the processes that want it.

use std::{
    fs,
    process::{Child, Stdio},
    time::Duration,
};

use newsroom::{OwnFolder, prepare};

use crate::{
    binary::{command, get, refused, start, start_in},
    service::empty,
};

#[tokio::test]
async fn of_two_first_starts_on_one_folder_one_serves_and_the_other_names_its_process() {
    let (config, _folder) = empty();
    // The large file takes long; what is left to make shows the same.
    prepare(&config).unwrap();
    fs::remove_file(config.data.join("newsroom.db")).unwrap();
    fs::remove_file(config.data.join("replica.db")).unwrap();
    let start = || command(&config.data).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let both = [start(), start()];
    let ids = [both[0].id(), both[1].id()];

    let has_ended = |process: &mut Child| process.try_wait().unwrap().is_some();
    let mut both = both.map(Some);
    let loser = loop {
        if let Some(loser) = (0..2).find(|one| both[*one].as_mut().is_some_and(has_ended)) {
            break loser;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let said = both[loser].take().unwrap().wait_with_output().unwrap();
    let text = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("in use by process {}", ids[1 - loser])), "{ids:?} {text}");
    assert!(text.contains("--data"), "{text}");

    let mut winner = both[1 - loser].take().unwrap();
    let mut line = String::new();
    let stdout = std::io::BufReader::new(winner.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut { stdout }, &mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").expect(&line).parse().unwrap();
    let found: serde_json::Value = get(&url, "/search?q=rust").await.json().await.unwrap();
    assert!(!found["results"].as_array().unwrap().is_empty(), "{found}");
    winner.kill().unwrap();
    winner.wait().unwrap();
}

#[tokio::test]
async fn a_folder_is_free_again_however_its_service_ended() {
    let running = start(&[]);
    let taken = OwnFolder::take(&running.folder().join("data")).unwrap_err().to_string();
    assert!(taken.contains(&format!("process {}", running.id())), "{taken}");
    let killed = running.stop("KILL").await;
    assert_eq!(killed.code, None, "{killed:?}");
    let again = start_in(killed.folder, Stdio::piped(), &[]).stop("TERM").await;
    assert_eq!(again.code, Some(0), "{again:?}");
    start_in(again.folder, Stdio::piped(), &[]).stop("TERM").await;
}

#[test]
fn a_start_on_data_that_cannot_be_used_ends_with_one_line_that_says_what_to_do() {
    let (config, _folder) = empty();
    prepare(&config).unwrap();
    fs::write(config.data.join("newsroom.db"), "garbage ".repeat(1_000)).unwrap();
    let (code, said) = refused(command(&config.data));
    assert_eq!(code, Some(1), "{said}");
    let errors: Vec<_> = said.lines().filter(|line| line.contains("newsroom.db")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert!(errors[0].starts_with("error: ") && errors[0].contains("move it away"), "{said}");
    assert_eq!(errors[0].matches("file is not a database").count(), 1, "{said}");
    assert_eq!(errors[0].matches("newsroom.db").count(), 1, "{said}");
}
