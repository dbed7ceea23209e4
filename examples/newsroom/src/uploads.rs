//! How many uploads are in memory at once.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Each may hold 20 MB while it arrives and is decoded, so together they hold 320 MB at most.
pub(crate) const MOST_AT_ONCE: usize = 16;
/// How long an upload waits for a place: a burst passes, a jam is told about.
const PATIENCE: Duration = Duration::from_secs(1);

/// The places for uploads; whoever reads one into memory takes a place first.
pub(crate) struct UploadPlaces {
    free: Arc<Semaphore>,
}

impl UploadPlaces {
    pub(crate) fn new() -> Self {
        UploadPlaces { free: Arc::new(Semaphore::new(MOST_AT_ONCE)) }
    }

    /// Takes a place, in the order of arrival.
    pub(crate) async fn take(&self) -> Result<UploadPlace, TooManyUploads> {
        match timeout(PATIENCE, self.free.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(UploadPlace(place)),
            Ok(Err(_)) | Err(_) => Err(TooManyUploads),
        }
    }
}

/// A place for one upload, free again when it is dropped: it goes wherever the picture goes.
#[derive(Debug)]
pub(crate) struct UploadPlace(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// There was no place for the upload.
#[derive(Debug)]
pub(crate) struct TooManyUploads;
