//! The data of the service, created on first start and checked on every other.
//!
//! Each file is written beside its place and renamed when it is complete, so a first start that was
//! interrupted is simply done again.

mod database;
mod dataset;
mod own_folder;
mod place;
mod progress;
mod prose;
mod schema;

use std::fs;

use anyhow::{Context, ensure};

use crate::{Config, Sizes, whole_file};
pub use own_folder::OwnFolder;
pub(crate) use place::Place;
use progress::Progress;

/// Creates what is missing of the data and checks the rest; returns a line for each file it made.
///
/// It blocks, for some seconds at most: call it before the service starts or on a thread for such work, with the
/// folder to itself, see [`OwnFolder`].
///
/// # Errors
///
/// A file that could not be made or cannot be used, with its name and what to do about it.
pub fn prepare(config: &Config) -> anyhow::Result<Vec<String>> {
    let place = Place::new(&config.data);
    ensure!(
        place.is_text(),
        "the data folder {} has a name that is no text, and the files of SQLite need one that is: choose another with --data",
        config.data.display()
    );
    fs::create_dir_all(&config.data)
        .with_context(|| format!("creating the folder {}", config.data.display()))?;
    for folder in [place.thumbnails(), place.outbox()] {
        let tidy = fs::create_dir_all(&folder).and_then(|()| whole_file::remove_partial(&folder));
        tidy.with_context(|| format!("preparing the folder {}", folder.display()))?;
    }

    let sizes = config.sizes;
    let Sizes {
        rows,
        users,
        articles,
        subscribers,
    } = sizes;
    let people = format!("{users} users, {articles} articles and {subscribers} subscribers");
    let made = [
        place.prepare(
            Place::DATASET,
            dataset::check,
            (&format!("{rows} rows"), rows),
            |path, progress| dataset::create(path, rows, progress),
        )?,
        place.prepare(
            Place::PRIMARY,
            database::check_primary,
            (&people, users + articles + subscribers),
            |path, progress| database::create(path, sizes, progress),
        )?,
        place.prepare(
            Place::REPLICA,
            database::check_replica,
            ("a copy to search", 1),
            |path, _| database::copy(&place.primary(), path),
        )?,
    ];
    Ok(made.into_iter().flatten().collect())
}
