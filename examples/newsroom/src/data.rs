//! The data of the service, created on first start.
//!
//! Each file is written beside its place and renamed when it is complete, so a first start that was
//! interrupted is simply done again.

mod database;
mod dataset;
mod place;
mod progress;
mod prose;

use std::{fs, io, time::Instant};

use anyhow::Context;

use crate::Config;
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
    let sizes = config.sizes;
    fs::create_dir_all(&config.data).with_context(|| config.data.display().to_string())?;

    let mut done = Vec::new();
    let mut step =
        |name: &str, what: String, total: u64, create: &dyn Fn(&Progress) -> anyhow::Result<()>| {
            if place.file(name).exists() {
                return Ok(());
            }
            let (begun, progress) = (Instant::now(), Progress::new(name, total));
            create(&progress).with_context(|| format!("creating {name}"))?;
            progress.finish();
            done.push(format!("created {name}: {what} in {:.1} s", begun.elapsed().as_secs_f64()));
            anyhow::Ok(())
        };

    step(Place::DATASET, format!("{} rows", sizes.rows), sizes.rows, &|progress| {
        place.complete(Place::DATASET, |path| dataset::create(path, sizes.rows, progress))
    })?;
    let people =
        format!("{} users, {} articles and {} subscribers", sizes.users, sizes.articles, sizes.subscribers);
    step(Place::PRIMARY, people, sizes.users + sizes.articles + sizes.subscribers, &|progress| {
        place.complete(Place::PRIMARY, |path| database::create(path, sizes, progress))
    })?;
    step(Place::REPLICA, "a copy to search".to_owned(), 1, &|_| {
        place.complete(Place::REPLICA, |path| database::copy(&place.primary(), path))
    })?;
    for folder in [place.thumbnails(), place.outbox()] {
        create_folder(&folder).with_context(|| folder.display().to_string())?;
    }
    Ok(done)
}

fn create_folder(folder: &std::path::Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}
