use std::{collections::BTreeSet, fs, path::Path};

use newsroom::prepare;

use crate::{database::Database, service::empty};

#[test]
fn the_first_start_creates_the_data_and_says_so_and_the_second_does_nothing() {
    let (config, _folder) = empty();
    let made = prepare(&config).unwrap();
    assert_eq!(made.len(), 3, "{made:?}");
    assert!(
        made[0].starts_with("created large_dataset.csv: 3650 rows in"),
        "{made:?}"
    );
    assert!(
        made[1].contains("10 users, 200 articles and 12 subscribers"),
        "{made:?}"
    );
    assert!(prepare(&config).unwrap().is_empty());
}

#[test]
fn the_dataset_has_every_row_on_365_days() {
    let (config, _folder) = empty();
    prepare(&config).unwrap();
    let csv = fs::read_to_string(config.data.join("large_dataset.csv")).unwrap();
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("date,page,views,clicks,conversions"));
    let dates: BTreeSet<_> = lines
        .clone()
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert_eq!(lines.count(), 3_650);
    assert_eq!(dates.len(), 365);
    assert_eq!(
        (dates.first(), dates.last()),
        (Some(&"2025-01-01"), Some(&"2025-12-31"))
    );
}

#[test]
fn the_data_is_the_same_on_every_machine() {
    let read = || {
        let (config, _folder) = empty();
        prepare(&config).unwrap();
        let db = Database::open(config.data.join("newsroom.db"));
        let articles: String = db.value("SELECT group_concat(title || body) FROM articles");
        let people: String = db.value("SELECT group_concat(name || email) FROM subscribers");
        (
            fs::read(config.data.join("large_dataset.csv")).unwrap(),
            articles,
            people,
        )
    };
    assert_eq!(read(), read());
}

#[test]
fn a_first_start_that_was_interrupted_is_done_again() {
    let (config, _folder) = empty();
    fs::create_dir_all(&config.data).unwrap();
    for partial in [
        "large_dataset.csv.partial",
        "newsroom.db.partial",
        "newsroom.db.partial-journal",
        "replica.db.partial",
    ] {
        fs::write(config.data.join(partial), "half of it").unwrap();
    }
    assert_eq!(prepare(&config).unwrap().len(), 3);
    let rows = fs::read_to_string(config.data.join("large_dataset.csv"))
        .unwrap()
        .lines()
        .count();
    assert_eq!(rows, 3_651);
    for db in ["newsroom.db", "replica.db"] {
        let db = Database::open(config.data.join(db));
        let articles: u64 = db.value("SELECT count(*) FROM articles");
        assert_eq!(articles, 200);
    }
    let leftovers = fs::read_dir(&config.data).unwrap().filter_map(Result::ok);
    let partial = leftovers.filter(|file| file.file_name().to_string_lossy().contains("partial"));
    assert_eq!(partial.count(), 0);
}

#[test]
fn a_missing_file_alone_is_made_again() {
    let (config, _folder) = empty();
    prepare(&config).unwrap();
    fs::remove_file(config.data.join("replica.db")).unwrap();
    let made = prepare(&config).unwrap();
    assert_eq!(made.len(), 1);
    assert!(made[0].starts_with("created replica.db"), "{made:?}");
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let (mut config, folder) = empty();
    fs::write(folder.path().join("file"), "").unwrap();
    config.data = folder.path().join("file/data");
    let error = prepare(&config).unwrap_err();
    assert!(format!("{error:#}").contains("file/data"), "{error:#}");
}

/// What somebody may find in the place of a file.
fn spoil(path: &Path, how: &str) {
    match how {
        "garbage" => {
            fs::write(
                path,
                "no such thing, but long enough for a header of any kind".repeat(100),
            )
            .unwrap();
        }
        "empty" => fs::write(path, "").unwrap(),
        "half of it" => {
            let whole = fs::read(path).unwrap();
            // In the middle of a row, too.
            fs::write(path, &whole[..whole.len() / 2 - 3]).unwrap();
        }
        "a hole" => {
            let mut whole = fs::read(path).unwrap();
            let middle = whole.len() / 2 / 4096 * 4096;
            whole[middle..middle + 4096].fill(0);
            fs::write(path, whole).unwrap();
        }
        "a folder" => {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }
        "another database" => {
            fs::remove_file(path).unwrap();
            Database::open(path).run("CREATE TABLE cats (name TEXT)");
        }
        _ => unreachable!("{how}"),
    }
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_its_name_and_what_to_do_and_left_as_it_is() {
    let kinds = [
        "garbage",
        "empty",
        "half of it",
        "a hole",
        "a folder",
        "another database",
    ];
    for file in ["newsroom.db", "replica.db", "large_dataset.csv"] {
        for how in kinds {
            let (config, _folder) = empty();
            prepare(&config).unwrap();
            let path = config.data.join(file);
            spoil(&path, how);
            let before = path.is_file().then(|| fs::read(&path).unwrap());
            let error = format!(
                "{:#}",
                prepare(&config).expect_err(&format!("{file}: {how}"))
            );
            assert!(
                error.contains(path.to_str().unwrap()),
                "{file}, {how}: {error}"
            );
            assert!(error.contains("move it away"), "{file}, {how}: {error}");
            assert_eq!(
                path.is_file().then(|| fs::read(&path).unwrap()),
                before,
                "{file}, {how}"
            );
            // As the error says.
            fs::rename(&path, path.with_extension("bad")).unwrap();
            assert_eq!(prepare(&config).unwrap().len(), 1, "{file}, {how}");
            assert!(prepare(&config).unwrap().is_empty(), "{file}, {how}");
        }
    }
}

#[test]
fn a_dataset_with_a_bad_row_is_refused_with_the_line_and_the_column() {
    let head = "date,page,views,clicks,conversions";
    for (rows, cause) in [
        (
            "2025-01-01,/,1,1,1\n2025-01-01,/,many,1,1\n",
            "line 3: views is no number",
        ),
        ("2025-01-01,/,1,1,-1\n", "line 2: conversions is no number"),
        (
            "2025-01-01,/,1,1,18446744073709551616\n",
            "line 2: conversions is no number",
        ),
        ("2025-01-01,/,1\n", "line: 2"),
        ("", "no rows"),
    ] {
        let (config, _folder) = empty();
        prepare(&config).unwrap();
        fs::write(
            config.data.join("large_dataset.csv"),
            format!("{head}\n{rows}"),
        )
        .unwrap();
        let error = format!("{:#}", prepare(&config).unwrap_err());
        assert!(error.contains(cause), "{rows:?}: {error}");
    }
}

/// After a crash SQLite's journals are still there; they belong to the database that was moved away.
#[test]
fn a_database_made_anew_has_nothing_of_the_old_ones_journals() {
    let (config, _folder) = empty();
    prepare(&config).unwrap();
    let path = config.data.join("newsroom.db");
    let old = Database::open(&path);
    old.run("DELETE FROM subscribers");
    let journal = fs::read(config.data.join("newsroom.db-wal")).unwrap();
    drop(old);
    fs::rename(&path, config.data.join("old.db")).unwrap();
    fs::write(config.data.join("newsroom.db-wal"), journal).unwrap();
    assert_eq!(prepare(&config).unwrap().len(), 1);
    let subscribers: u64 = Database::open(&path).value("SELECT count(*) FROM subscribers");
    assert_eq!(subscribers, 12);
}

#[test]
fn an_older_database_is_brought_up_to_date_and_keeps_what_it_has() {
    let (config, _folder) = empty();
    fs::create_dir_all(&config.data).unwrap();
    let db = Database::open(config.data.join("newsroom.db"));
    db.run(include_str!("../../src/data/schema/1_first.sql"));
    db.run(
        "INSERT INTO subscribers VALUES (1, 'Ada', 'ada@example.org'), (2, 'Bob', 'bob@example.org');
         INSERT INTO newsletters (subject, body) VALUES ('whole', 'x'), ('half', 'x');
         INSERT INTO deliveries (newsletter_id, subscriber_id, state) VALUES (1, 1, 'sent'), (1, 2, 'failed');
         INSERT INTO deliveries (newsletter_id, subscriber_id, state) VALUES (2, 1, 'sent'), (2, 2, 'sending');",
    );
    prepare(&config).unwrap();
    prepare(&config).unwrap();
    let newsletters: String = db.value(
        "SELECT group_concat(concat_ws(' ', subject, state, total, sent, failed, in_doubt), '; ')
         FROM (SELECT * FROM newsletters ORDER BY id)",
    );
    assert_eq!(newsletters, "whole completed 2 1 1 0; half sending 2 1 0 0");
    let deliveries: u64 = db.value("SELECT count(*) FROM deliveries");
    assert_eq!(deliveries, 4);
    db.run("PRAGMA user_version = 3");
    let error = format!("{:#}", prepare(&config).unwrap_err());
    assert!(error.contains("a newer version"), "{error}");
}
