//! The folder of thumbnails.

mod shelf;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::StatusCode;
use nexios::{PoolError, ThreadPool};
use nexios_axum::Problem;
use sha2::{Digest, Sha256};

use crate::whole_file;
use shelf::Shelf;

/// Thumbnails under names made from their content: the same picture is stored once, and a client's name never
/// reaches the disk. The folder is bounded: the oldest make room for new ones.
pub(crate) struct Gallery {
    folder: Arc<Folder>,
    threads: ThreadPool,
}

struct Folder {
    path: PathBuf,
    /// What is in it; looked up when it is first needed.
    shelf: Mutex<Option<Shelf>>,
}

impl Gallery {
    pub(crate) fn new(folder: PathBuf, threads: ThreadPool) -> Self {
        Gallery {
            folder: Arc::new(Folder {
                path: folder,
                shelf: Mutex::default(),
            }),
            threads,
        }
    }

    /// Stores a JPEG and returns its name.
    pub(crate) async fn store(&self, jpeg: Vec<u8>) -> Result<String, GalleryError> {
        let name = content_name(&jpeg);
        let (folder, stored) = (self.folder.clone(), name.clone());
        self.threads
            .run(move || folder.store(stored, &jpeg))
            .await??;
        Ok(name)
    }

    /// Returns the thumbnail of that name; a name that is not one of ours is not looked up.
    pub(crate) async fn load(&self, name: &str) -> Result<Option<Vec<u8>>, GalleryError> {
        if !is_content_name(name) {
            return Ok(None);
        }
        let path = self.folder.path.join(name);
        match self.threads.run(move || fs::read(path)).await? {
            Ok(jpeg) => Ok(Some(jpeg)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Folder {
    /// One at a time: what is there and what is known of it change together.
    fn store(&self, name: String, jpeg: &[u8]) -> io::Result<()> {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = match &mut *shelf {
            Some(shelf) => shelf,
            empty => empty.insert(Shelf::of(&self.path)?),
        };
        write_whole(&self.path, &name, jpeg)?;
        let mut removed = Ok(());
        for oldest in shelf.put(name, jpeg.len() as u64) {
            match fs::remove_file(self.path.join(oldest)) {
                // The others go nevertheless: nobody would come back for them.
                Err(error) if error.kind() != io::ErrorKind::NotFound => removed = Err(error),
                _ => {}
            }
        }
        removed
    }
}

fn content_name(jpeg: &[u8]) -> String {
    let digest = Sha256::digest(jpeg);
    let hex: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    hex + ".jpg"
}

fn is_content_name(name: &str) -> bool {
    let hex = name.strip_suffix(".jpg").unwrap_or_default();
    hex.len() == 32
        && hex
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A reader must never see half a picture.
fn write_whole(folder: &Path, name: &str, jpeg: &[u8]) -> io::Result<()> {
    let path = folder.join(name);
    // One of another length was cut off when the machine was.
    if fs::metadata(&path).is_ok_and(|file| file.len() == jpeg.len() as u64) {
        return Ok(());
    }
    whole_file::write(folder, &path, jpeg)
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
            GalleryError::File(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                tracing::error!(%error, "no room for a thumbnail");
                Problem::new(StatusCode::INSUFFICIENT_STORAGE)
                    .detail("There is no room for the thumbnail.")
            }
            GalleryError::File(error) => Problem::internal(&error),
        }
    }
}

/// Here because not every machine lets a test have a disk of its own that is full.
#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use nexios_axum::Problem;

    use super::GalleryError;

    #[test]
    fn a_disk_without_room_is_507_and_other_errors_of_files_are_500() {
        for (kind, status) in [
            (ErrorKind::StorageFull, 507),
            (ErrorKind::QuotaExceeded, 507),
            (ErrorKind::PermissionDenied, 500),
        ] {
            let error = GalleryError::from(Error::from(kind));
            assert_eq!(Problem::from(error).status().as_u16(), status, "{kind:?}");
        }
    }
}
