//! The data of the service, created on first start.
//!
//! Each file is written beside its place and renamed when it is complete, so a first start that was
//! interrupted is simply done again.

mod database;
mod dataset;
mod place;
mod progress;
mod prose;

use std::fs;

use anyhow::Context;

use crate::{Config, Sizes};
pub(crate) use place::Place;
use progress::Progress;

/// Creates what is missing of the data, and returns a line for each file it made.
///
/// It blocks, for some seconds at most: call it before the service starts or on a thread for such work.
///
/// # Errors
///
/// A file that could not be made, with its name.
pub fn prepare(config: &Config) -> anyhow::Result<Vec<String>> {
    let place = Place::new(&config.data);
    for folder in [config.data.clone(), place.thumbnails(), place.outbox()] {
        fs::create_dir_all(&folder).with_context(|| format!("creating the folder {}", folder.display()))?;
    }

    let sizes = config.sizes;
    let Sizes { rows, users, articles, subscribers } = sizes;
    let people = format!("{users} users, {articles} articles and {subscribers} subscribers");
    let made = [
        place.create(Place::DATASET, &format!("{rows} rows"), rows, |path, progress| {
            dataset::create(path, rows, progress)
        })?,
        place.create(Place::PRIMARY, &people, users + articles + subscribers, |path, progress| {
            database::create(path, sizes, progress)
        })?,
        place.create(Place::REPLICA, "a copy to search", 1, |path, _| {
            database::copy(&place.primary(), path)
        })?,
    ];
    Ok(made.into_iter().flatten().collect())
}
