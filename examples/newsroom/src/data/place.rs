//! Where the data lies.

use std::{
    fs::{self, File},
    io,
    path::{self, Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, bail, ensure};

use super::Progress;

/// The data folder and the names in it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) const DATASET: &str = "large_dataset.csv";
    pub(crate) const PRIMARY: &str = "newsroom.db";
    pub(crate) const REPLICA: &str = "replica.db";

    pub(crate) fn new(folder: &Path) -> Self {
        // SQLite takes a path that begins with `file:` for a URI; an absolute one does not.
        Place(path::absolute(folder).unwrap_or_else(|_| folder.to_owned()))
    }

    /// Whether its name is text: what speaks to SQLite takes no other.
    pub(crate) fn is_text(&self) -> bool {
        self.0.to_str().is_some()
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

    /// The jobs of newsletters, and who got them.
    pub(crate) fn jobs(&self) -> PathBuf {
        self.file("jobs.db")
    }

    pub(crate) fn thumbnails(&self) -> PathBuf {
        self.file("thumbnails")
    }

    pub(crate) fn outbox(&self) -> PathBuf {
        self.file("outbox")
    }

    /// Checks a file, or creates one that is not there yet, in so many steps; says what it made.
    ///
    /// A file gets its name only when it is complete and on the disk.
    pub(crate) fn prepare(
        &self,
        name: &str,
        check: impl FnOnce(&Path) -> anyhow::Result<()>,
        (what, total): (&str, u64),
        write: impl FnOnce(&Path, &Progress) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<String>> {
        let path = self.file(name);
        if path.exists() {
            if let Err(error) = readable(&path).and_then(|()| check(&path)) {
                let path = path.display();
                // Without its sources: SQLite's say the same again.
                bail!(
                    "{path} cannot be used: {error}; move it away to have it made anew, or mend it"
                );
            }
            return Ok(None);
        }
        let (begun, progress) = (Instant::now(), Progress::new(name, total));
        self.write_whole(name, |path| write(path, &progress))
            .with_context(|| format!("creating {name}"))?;
        progress.finish();
        Ok(Some(format!(
            "created {name}: {what} in {:.2} s",
            begun.elapsed().as_secs_f64()
        )))
    }

    fn write_whole(
        &self,
        name: &str,
        write: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let partial = self.file(&partial_of(name));
        // What an interrupted start left behind.
        self.remove_half_made(name)?;
        if let Err(error) = write(&partial).and_then(|()| Ok(File::open(&partial)?.sync_all()?)) {
            // The disk may be full, and it is most of what is on it.
            let _ = self.remove_half_made(name);
            return Err(error);
        }
        // SQLite would take what belonged to a database that was moved away for the new one's.
        self.remove_journals(name)?;
        fs::rename(&partial, self.file(name))?;
        Ok(())
    }

    fn remove_half_made(&self, name: &str) -> io::Result<()> {
        self.remove(&partial_of(name))?;
        self.remove_journals(&partial_of(name))
    }

    /// Removes what SQLite keeps beside its file.
    fn remove_journals(&self, name: &str) -> io::Result<()> {
        ["-journal", "-wal", "-shm"]
            .iter()
            .try_for_each(|ending| self.remove(&format!("{name}{ending}")))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.file(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// What a file is called until it is complete.
fn partial_of(name: &str) -> String {
    format!("{name}.partial")
}

/// SQLite does not say why it cannot open a file.
fn readable(path: &Path) -> anyhow::Result<()> {
    // Looked at before: a pipe would not be opened until somebody writes to it.
    ensure!(fs::metadata(path)?.is_file(), "it is no file");
    File::open(path)?;
    Ok(())
}
