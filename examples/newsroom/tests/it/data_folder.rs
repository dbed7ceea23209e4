//! One data folder and the processes that want it.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use newsroom::{OwnFolder, prepare};

use crate::{
    binary::{command, get, refused, start, start_again},
    service::empty,
};

#[tokio::test]
async fn of_two_first_starts_on_one_folder_one_serves_and_the_other_names_its_process() {
    let (config, _folder) = empty();
    // The large file takes long; what is left to make shows the same.
    prepare(&config).unwrap();
    fs::remove_file(config.data.join("newsroom.db")).unwrap();
    fs::remove_file(config.data.join("replica.db")).unwrap();
    let start = || {
        command(&config.data)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
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
    assert!(
        text.contains(&format!("in use by process {}", ids[1 - loser])),
        "{ids:?} {text}"
    );
    assert!(text.contains("--data"), "{text}");

    let mut winner = both[1 - loser].take().unwrap();
    let mut line = String::new();
    let stdout = std::io::BufReader::new(winner.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut { stdout }, &mut line).unwrap();
    let url = line
        .trim()
        .strip_prefix("listening on ")
        .expect(&line)
        .parse()
        .unwrap();
    let found: serde_json::Value = get(&url, "/search?q=rust").await.json().await.unwrap();
    assert!(!found["results"].as_array().unwrap().is_empty(), "{found}");
    winner.kill().unwrap();
    winner.wait().unwrap();
}

#[tokio::test]
async fn a_folder_is_free_again_however_its_service_ended() {
    let running = start(&[]);
    let taken = OwnFolder::take(&running.folder().join("data"))
        .unwrap_err()
        .to_string();
    assert!(
        taken.contains(&format!("process {}", running.id())),
        "{taken}"
    );
    let killed = running.stop("KILL").await;
    assert_eq!(killed.code, None, "{killed:?}");
    let again = start_again(killed, &[]).stop("TERM").await;
    assert_eq!(again.code, Some(0), "{again:?}");
    start_again(again, &[]).stop("TERM").await;
}

#[test]
fn a_start_on_data_that_cannot_be_used_ends_with_one_line_that_says_what_to_do() {
    let (config, _folder) = empty();
    prepare(&config).unwrap();
    fs::write(config.data.join("newsroom.db"), "garbage ".repeat(1_000)).unwrap();
    let (code, said) = refused(command(&config.data));
    assert_eq!(code, Some(1), "{said}");
    let errors: Vec<_> = said
        .lines()
        .filter(|line| line.contains("newsroom.db"))
        .collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert!(
        errors[0].starts_with("error: ") && errors[0].contains("move it away"),
        "{said}"
    );
    assert_eq!(
        errors[0].matches("file is not a database").count(),
        1,
        "{said}"
    );
    assert_eq!(errors[0].matches("newsroom.db").count(), 1, "{said}");
}

/// Most of what is on a full disk may be the file that did not fit.
#[test]
fn a_first_start_that_finds_no_room_leaves_nothing_half_made() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // A limit for every file, and an error instead of a signal where it is reached.
    let mut command = std::process::Command::new("sh");
    command.args([
        "-c",
        "trap '' XFSZ; ulimit -f 200; exec \"$0\" --data \"$1\" --listen 127.0.0.1:0",
    ]);
    command.arg(env!("CARGO_BIN_EXE_newsroom")).arg(&data);
    let (code, said) = refused(command);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("creating large_dataset.csv"), "{said}");
    let files = fs::read_dir(&data)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(
        files.into_iter().all(|file| !file.contains("partial")),
        "{said}"
    );
}

#[tokio::test]
async fn a_folder_may_have_any_name_that_is_text() {
    for name in ["file:data?mode=memory", "d%41#?ü"] {
        let (mut config, folder) = empty();
        prepare(&config).unwrap();
        let data = folder.path().join(name);
        fs::rename(&config.data, &data).unwrap();
        // Made anew from the database.
        fs::remove_file(data.join("replica.db")).unwrap();
        let mut start = command(Path::new(name));
        let end = start
            .current_dir(folder.path())
            .env("NEWSROOM_SHUTDOWN_LIMIT", "5");
        let mut process = end
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = std::io::BufReader::new(process.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut { stdout }, &mut line).unwrap();
        process.kill().unwrap();
        let said = String::from_utf8(process.wait_with_output().unwrap().stderr).unwrap();
        assert!(line.starts_with("listening on "), "{name:?}: {said}");
        config.data = data;
        assert_eq!(prepare(&config).unwrap(), Vec::<String>::new(), "{name:?}");
    }
}

#[test]
fn a_folder_whose_name_is_no_text_is_refused_by_what_would_be_right() {
    let (_, folder) = empty();
    let data = folder.path().join(OsStr::from_bytes(b"d\xff"));
    let (code, said) = refused(command(&data));
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("no text") && said.contains("--data"),
        "{said}"
    );
}

/// It would not be opened until somebody writes to it.
#[test]
fn a_pipe_in_place_of_a_file_is_refused_at_once() {
    let (config, _folder) = empty();
    prepare(&config).unwrap();
    let path = config.data.join("newsroom.db");
    fs::remove_file(&path).unwrap();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(prepare(&config).unwrap_err().to_string()));
    let error = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(
        error.contains("newsroom.db cannot be used: it is no file"),
        "{error}"
    );
}
