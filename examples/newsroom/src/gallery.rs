//! The folder of thumbnails.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use nexios::{PoolError, ThreadPool};
use nexios_axum::Problem;
use sha2::{Digest, Sha256};

/// Thumbnails under names made from their content: the same picture is stored once, and a client's name never
/// reaches the disk.
pub(crate) struct Gallery {
    folder: PathBuf,
    threads: ThreadPool,
}

impl Gallery {
    pub(crate) fn new(folder: PathBuf, threads: ThreadPool) -> Self {
        Gallery { folder, threads }
    }

    /// Stores a JPEG and returns its name.
    pub(crate) async fn store(&self, jpeg: Vec<u8>) -> Result<String, GalleryError> {
        let name = content_name(&jpeg);
        let path = self.folder.join(&name);
        self.threads.run(move || write_whole(&path, &jpeg)).await??;
        Ok(name)
    }

    /// Returns the thumbnail of that name; a name that is not one of ours is not looked up.
    pub(crate) async fn load(&self, name: &str) -> Result<Option<Vec<u8>>, GalleryError> {
        if !is_content_name(name) {
            return Ok(None);
        }
        let path = self.folder.join(name);
        match self.threads.run(move || fs::read(path)).await? {
            Ok(jpeg) => Ok(Some(jpeg)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn content_name(jpeg: &[u8]) -> String {
    let digest = Sha256::digest(jpeg);
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    hex + ".jpg"
}

fn is_content_name(name: &str) -> bool {
    let hex = name.strip_suffix(".jpg").unwrap_or_default();
    hex.len() == 32 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A reader must never see half a picture, so it gets its name when it is complete.
fn write_whole(path: &Path, jpeg: &[u8]) -> io::Result<()> {
    static WRITERS: AtomicU64 = AtomicU64::new(0);
    if path.exists() {
        return Ok(());
    }
    // Relaxed: only the uniqueness of the number matters.
    let partial = path.with_extension(format!("{}.partial", WRITERS.fetch_add(1, Ordering::Relaxed)));
    fs::write(&partial, jpeg)?;
    fs::rename(partial, path)
}

/// Why a thumbnail was not stored or loaded.
#[derive(Debug)]
pub(crate) enum GalleryError {
    Pool(PoolError),
    File(io::Error),
}

impl From<PoolError> for GalleryError {
    fn from(error: PoolError) -> Self {
        GalleryError::Pool(error)
    }
}

impl From<io::Error> for GalleryError {
    fn from(error: io::Error) -> Self {
        GalleryError::File(error)
    }
}

impl From<GalleryError> for Problem {
    fn from(error: GalleryError) -> Self {
        match error {
            GalleryError::Pool(error) => error.into(),
            GalleryError::File(error) => Problem::internal(&error),
        }
    }
}
