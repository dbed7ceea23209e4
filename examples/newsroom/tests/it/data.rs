use std::{collections::BTreeSet, fs};

use newsroom::prepare;
use rusqlite::Connection;

use crate::service::empty;

#[test]
fn the_first_start_creates_the_data_and_says_so_and_the_second_does_nothing() {
    let (config, _folder) = empty();
    let made = prepare(&config).unwrap();
    assert_eq!(made.len(), 3, "{made:?}");
    assert!(made[0].starts_with("created large_dataset.csv: 3650 rows in"), "{made:?}");
    assert!(made[1].contains("10 users, 200 articles and 12 subscribers"), "{made:?}");
    assert!(prepare(&config).unwrap().is_empty());
}

#[test]
fn the_dataset_has_every_row_on_365_days() {
    let (config, _folder) = empty();
    prepare(&config).unwrap();
    let csv = fs::read_to_string(config.data.join("large_dataset.csv")).unwrap();
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("date,page,views,clicks,conversions"));
    let dates: BTreeSet<_> = lines.clone().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(lines.count(), 3_650);
    assert_eq!(dates.len(), 365);
    assert_eq!((dates.first(), dates.last()), (Some(&"2025-01-01"), Some(&"2025-12-31")));
}

#[test]
fn the_data_is_the_same_on_every_machine() {
    let read = || {
        let (config, _folder) = empty();
        prepare(&config).unwrap();
        let db = Connection::open(config.data.join("newsroom.db")).unwrap();
        let articles: String =
            db.query_row("SELECT group_concat(title || body) FROM articles", [], |row| row.get(0)).unwrap();
        let people: String = db
            .query_row("SELECT group_concat(name || email) FROM subscribers", [], |row| row.get(0))
            .unwrap();
        (fs::read(config.data.join("large_dataset.csv")).unwrap(), articles, people)
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
    let rows = fs::read_to_string(config.data.join("large_dataset.csv")).unwrap().lines().count();
    assert_eq!(rows, 3_651);
    for db in ["newsroom.db", "replica.db"] {
        let db = Connection::open(config.data.join(db)).unwrap();
        let articles: u64 = db.query_row("SELECT count(*) FROM articles", [], |row| row.get(0)).unwrap();
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
