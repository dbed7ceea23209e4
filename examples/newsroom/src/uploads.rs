//! Pictures as they arrive: bounded in bytes, in time, and together in memory.

mod arrival;
mod pace;

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{FromRequest, Multipart, Request, multipart::MultipartError},
    http::StatusCode,
};
use nexios_axum::Problem;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use arrival::{Arrival, UNIT};

const MEGABYTE: usize = 1024 * 1024;

/// The most bytes of an upload.
const MOST_BYTES: usize = 20 * MEGABYTE;

/// What all uploads together may hold: six of the largest, or many more of those that people send.
const MOST_BYTES_OF_ALL: usize = 128 * MEGABYTE;

/// The memory of all uploads that arrive or wait to be decoded.
///
/// It is taken as bytes arrive: a client that sends nothing holds nothing, however many of them there are.
pub(crate) struct Uploads {
    memory: Arc<Semaphore>,
}

/// A picture that has arrived; its memory is free for others when it is dropped.
pub(crate) struct Upload {
    pub(crate) picture: Vec<u8>,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Uploads {
    pub(crate) fn new() -> Self {
        Uploads {
            memory: Arc::new(Semaphore::new(MOST_BYTES_OF_ALL / UNIT)),
        }
    }

    /// Reads a form to its end, and returns the content of its first field `image`.
    pub(crate) async fn receive(&self, request: Request) -> Result<Upload, UploadError> {
        let arrival = Arc::new(Arrival::new(self.memory.clone()));
        let request = request.map(|body| arrival.clone().bounded(body));
        let read = pace::keep(arrival.received(), image_field(request, &arrival)).await;
        let picture = match read {
            Ok(Ok(picture)) => picture,
            // Whoever reads a body that was refused only sees that it broke.
            Ok(Err(error)) => return Err(arrival.refusal().unwrap_or(error)),
            Err(pace::TooSlow) => return Err(UploadError::TooSlow),
        };
        Ok(Upload {
            picture,
            _memory: arrival.into_memory(),
        })
    }
}

async fn image_field(request: Request, arrival: &Arrival) -> Result<Vec<u8>, UploadError> {
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|error| UploadError::NotAForm(error.into()))?;
    let mut picture = None;
    loop {
        arrival.field_is_due();
        let Some(mut field) = form.next_field().await.map_err(UploadError::broken_form)? else {
            break;
        };
        arrival.field_has_begun();
        let wanted = field.name() == Some("image") && picture.is_none();
        // What a browser sends for a form whose file was never chosen.
        let nameless = field.file_name().is_none_or(str::is_empty);
        let mut content = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(UploadError::broken_form)? {
            if wanted {
                content.extend_from_slice(&chunk);
            }
        }
        if wanted && content.is_empty() && nameless {
            return Err(UploadError::NothingChosen);
        }
        if wanted {
            picture = Some(content);
        }
    }
    picture.ok_or(UploadError::NoField)
}

/// Why an upload was not taken.
#[derive(Debug)]
pub(crate) enum UploadError {
    /// All uploads together hold as much as they may.
    NoMemory,
    TooLarge,
    TooSlow,
    /// The body ended before its end.
    Broken,
    NotAForm(Problem),
    NoField,
    NothingChosen,
}

impl UploadError {
    fn broken_form(error: MultipartError) -> Self {
        UploadError::NotAForm(error.into())
    }

    /// What the client is told; one that found no memory may come again after a while.
    pub(crate) fn problem(self, come_again: Duration) -> Problem {
        match self {
            // What has not been read stays in the connection, which cannot be used again.
            UploadError::NoMemory => {
                Problem::unavailable("Too many pictures arrive at once.", come_again)
                    .close_connection()
            }
            UploadError::TooLarge => Problem::too_large("An upload has at most 20 MB."),
            UploadError::TooSlow => Problem::new(StatusCode::REQUEST_TIMEOUT)
                .detail(pace::explanation())
                .close_connection(),
            UploadError::Broken => Problem::bad_request("The upload broke off.").close_connection(),
            UploadError::NotAForm(problem) => problem,
            UploadError::NoField => {
                Problem::bad_request("The form needs a field `image` with the picture.")
            }
            UploadError::NothingChosen => Problem::bad_request("No picture was chosen."),
        }
    }
}
