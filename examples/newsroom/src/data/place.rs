//! Where the data lies.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;

use super::Progress;

/// The data folder and the names in it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) const DATASET: &str = "large_dataset.csv";
    pub(crate) const PRIMARY: &str = "newsroom.db";
    pub(crate) const REPLICA: &str = "replica.db";

    pub(crate) fn new(folder: &Path) -> Self {
        Place(folder.to_owned())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn dataset(&self) -> PathBuf {
        self.file(Place::DATASET)
    }

    pub(crate) fn primary(&self) -> PathBuf {
        self.file(Place::PRIMARY)
    }

    pub(crate) fn replica(&self) -> PathBuf {
        self.file(Place::REPLICA)
    }

    pub(crate) fn thumbnails(&self) -> PathBuf {
        self.file("thumbnails")
    }

    pub(crate) fn outbox(&self) -> PathBuf {
        self.file("outbox")
    }

    /// Creates a file that is not there yet, in `total` steps, and says what it did.
    ///
    /// The file gets its name only when it is complete and on the disk.
    pub(crate) fn create(
        &self,
        name: &str,
        what: &str,
        total: u64,
        write: impl FnOnce(&Path, &Progress) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<String>> {
        if self.file(name).exists() {
            return Ok(None);
        }
        let (begun, progress) = (Instant::now(), Progress::new(name, total));
        self.write_whole(name, |path| write(path, &progress)).with_context(|| format!("creating {name}"))?;
        progress.finish();
        Ok(Some(format!("created {name}: {what} in {:.2} s", begun.elapsed().as_secs_f64())))
    }

    fn write_whole(&self, name: &str, write: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let partial = format!("{name}.partial");
        // What an interrupted start left behind; SQLite keeps its journals beside its file.
        for ending in ["", "-journal", "-wal", "-shm"] {
            let leftover = self.file(&format!("{partial}{ending}"));
            if leftover.exists() {
                fs::remove_file(leftover)?;
            }
        }
        let partial = self.file(&partial);
        write(&partial)?;
        File::open(&partial)?.sync_all()?;
        fs::rename(&partial, self.file(name))?;
        Ok(())
    }
}
