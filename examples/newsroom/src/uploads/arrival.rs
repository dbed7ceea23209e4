//! The body of one upload: counted, and paid for with memory, before anybody sees it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::{StreamExt, stream};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{MEGABYTE, MOST_BYTES, UploadError};

/// Memory is taken in pieces of this size.
pub(super) const UNIT: usize = 64 * 1024;

/// A body that is too large is read on for a while and thrown away: a browser that is still sending does not see
/// an answer, only a broken connection.
const MOST_BYTES_READ: usize = 100 * MEGABYTE;

/// The most bytes up to the content of a field: its head is looked for from the start as often as bytes arrive.
const MOST_BYTES_OF_A_HEAD: usize = MEGABYTE;

/// How long an upload waits for memory: a burst passes, a jam is told about.
const PATIENCE: Duration = Duration::from_secs(1);

/// What has arrived of one upload.
pub(super) struct Arrival {
    /// The memory of all uploads.
    memory: Arc<Semaphore>,
    received: AtomicUsize,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// What this upload has of the memory.
    held: Option<OwnedSemaphorePermit>,
    /// How many bytes had arrived when the next field was looked for; none inside of a field.
    head_from: Option<usize>,
    /// Why the body was cut.
    refusal: Option<UploadError>,
}

/// What the reader of a body that was cut sees of it; the cause is in [`Arrival::refusal`].
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the upload was refused")
    }
}

impl std::error::Error for Cut {}

impl Arrival {
    pub(super) fn new(memory: Arc<Semaphore>) -> Self {
        Arrival {
            memory,
            received: AtomicUsize::new(0),
            progress: Mutex::default(),
        }
    }

    /// Returns a body that gives what `body` gives, as long as it stays within the limits.
    pub(super) fn bounded(self: Arc<Self>, body: Body) -> Body {
        let body = body.into_data_stream();
        Body::from_stream(stream::try_unfold(
            (self, body),
            |(arrival, mut body)| async move {
                match arrival.next(&mut body).await {
                    Ok(chunk) => Ok(chunk.map(|chunk| (chunk, (arrival, body)))),
                    Err(refusal) => {
                        arrival.progress().refusal = Some(refusal);
                        Err(Cut)
                    }
                }
            },
        ))
    }

    async fn next(&self, body: &mut BodyDataStream) -> Result<Option<Bytes>, UploadError> {
        let Some(chunk) = body.next().await else {
            return Ok(None);
        };
        let chunk = chunk.map_err(|_| UploadError::Broken)?;
        // Relaxed, here and below: a count; what is counted is handed on by other means.
        let before = self.received.fetch_add(chunk.len(), Ordering::Relaxed);
        let received = before + chunk.len();
        if received > MOST_BYTES {
            drop(chunk);
            self.throw_away(body).await?;
            return Err(UploadError::TooLarge);
        }
        // What came with this chunk may be the content already.
        if self
            .progress()
            .head_from
            .is_some_and(|from| before - from > MOST_BYTES_OF_A_HEAD)
        {
            return Err(UploadError::NoField);
        }
        self.pay_for(received).await?;
        Ok(Some(chunk))
    }

    async fn throw_away(&self, body: &mut BodyDataStream) -> Result<(), UploadError> {
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|_| UploadError::Broken)?;
            if self.received.fetch_add(chunk.len(), Ordering::Relaxed) > MOST_BYTES_READ {
                break;
            }
        }
        Ok(())
    }

    /// Takes as much memory as so many bytes need.
    async fn pay_for(&self, received: usize) -> Result<(), UploadError> {
        let held = self
            .progress()
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let missing =
            u32::try_from(received.div_ceil(UNIT).saturating_sub(held)).unwrap_or(u32::MAX);
        if missing == 0 {
            return Ok(());
        }
        let more = timeout(PATIENCE, self.memory.clone().acquire_many_owned(missing)).await;
        let Ok(Ok(more)) = more else {
            return Err(UploadError::NoMemory);
        };
        match &mut self.progress().held {
            Some(held) => held.merge(more),
            held => *held = Some(more),
        }
        Ok(())
    }

    /// Tells that what arrives next is not yet the content of a field.
    pub(super) fn field_is_due(&self) {
        self.progress().head_from = Some(self.received.load(Ordering::Relaxed));
    }

    /// Tells that what arrives next is the content of a field.
    pub(super) fn field_has_begun(&self) {
        self.progress().head_from = None;
    }

    /// How many bytes have arrived so far.
    pub(super) fn received(&self) -> &AtomicUsize {
        &self.received
    }

    /// Why the body was cut, if it was; told once.
    pub(super) fn refusal(&self) -> Option<UploadError> {
        self.progress().refusal.take()
    }

    /// Hands over the memory of what has arrived.
    pub(super) fn into_memory(self: Arc<Self>) -> Option<OwnedSemaphorePermit> {
        self.progress().held.take()
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
