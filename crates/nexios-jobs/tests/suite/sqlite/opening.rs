//! What is said of a file that cannot be opened.

use std::{path::Path, time::Duration};

use nexios_jobs::{Jobs, JobsError};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tokio::time::Instant;

use crate::kit::millis;

async fn refused(file: &Path) -> JobsError {
    let began = Instant::now();
    let refused = Jobs::open(&format!("sqlite:{}", file.display())).await;
    let taken = began.elapsed();
    assert!(taken < Duration::from_secs(4), "not at once: {taken:?}");
    refused.expect_err("it is no file of jobs")
}

#[tokio::test]
async fn an_error_of_opening_names_the_file_and_says_at_once_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let notes = place.join("notes.txt");
    std::fs::write(&notes, "milk and honey ".repeat(100)).unwrap();
    for (file, words) in [
        (place.to_owned(), "it is a folder"),
        (notes.clone(), "file is not a database"),
        (notes.join("jobs.db"), "its folder cannot be made"),
    ] {
        let error = refused(&file).await.to_string();
        let named = format!(": {}: ", file.display());
        assert!(error.contains(&named) && error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_file_is_named_by_its_whole_path() {
    let error = refused(Path::new("src")).await.to_string();
    let here = std::env::current_dir().unwrap();
    assert!(
        error.contains(&*here.join("src").to_string_lossy()),
        "{error}"
    );
}

#[tokio::test]
async fn of_a_file_that_cannot_be_opened_all_the_while_it_says_what_sqlite_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("never-made.db");
    let pool =
        SqlitePoolOptions::new().connect_lazy_with(SqliteConnectOptions::new().filename(&file));
    let refused = Jobs::builder().patience(millis(500)).sqlite(pool).await;
    let Err(error @ JobsError::Unavailable(_)) = refused else {
        panic!("{refused:?}");
    };
    let error = error.to_string();
    let named = error.contains(&*file.to_string_lossy());
    assert!(
        named && error.contains("unable to open database file"),
        "{error}"
    );
}
