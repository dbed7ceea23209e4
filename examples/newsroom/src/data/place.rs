//! Where the data lies.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::Context;

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

    /// Lets `create` write a file that gets its name only when it is complete and on the disk.
    pub(crate) fn complete(
        &self,
        name: &str,
        create: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let partial = self.file(&format!("{name}.partial"));
        // What an interrupted start left behind; SQLite keeps a journal beside its file.
        for leftover in ["", "-journal", "-wal", "-shm"] {
            let leftover = self.file(&format!("{name}.partial{leftover}"));
            if leftover.exists() {
                fs::remove_file(&leftover).with_context(|| leftover.display().to_string())?;
            }
        }
        create(&partial)?;
        File::open(&partial)?.sync_all()?;
        fs::rename(&partial, self.file(name))?;
        Ok(())
    }
}
