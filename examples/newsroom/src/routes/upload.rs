//! `POST /upload` and `GET /thumbnails/{name}`: CPU work with a bound.

use std::time::Duration;

use axum::{
    Json,
    extract::{Multipart, Path, State},
    http::{StatusCode, header},
    response::IntoResponse,
};
use nexios_axum::{OrProblem, Problem};
use serde::Serialize;
use tokio::time::timeout;

use crate::{Newsroom, uploads::TooManyUploads};

const MEGABYTE: usize = 1024 * 1024;
const MOST_BYTES: usize = 20 * MEGABYTE;
/// A body that is too large is read on for a while and thrown away: a browser that is still sending does not see
/// an answer, only a broken connection.
pub(crate) const MOST_BYTES_READ: usize = 100 * MEGABYTE;

/// How long an upload may take to arrive; 20 MB need 1.4 Mbit/s. Else a few idle clients would keep every place.
const TIME_TO_ARRIVE: Duration = Duration::from_secs(120);

#[derive(Serialize)]
pub(crate) struct Uploaded {
    thumbnail_url: String,
}

pub(crate) async fn upload(
    State(newsroom): State<Newsroom>,
    OrProblem(form): OrProblem<Multipart>,
) -> Result<Json<Uploaded>, Problem> {
    let place = newsroom.uploads.take().await.map_err(|TooManyUploads| {
        // The body is not read, so the connection cannot be used again.
        newsroom.darkroom.too_busy("Too many pictures arrive at once.").close_connection()
    })?;
    let picture = timeout(TIME_TO_ARRIVE, image_field(form)).await.unwrap_or_else(|_| Err(too_slow()))?;
    let jpeg = newsroom.darkroom.develop(picture, place).await?;
    let name = newsroom.gallery.store(jpeg).await?;
    Ok(Json(Uploaded { thumbnail_url: format!("/thumbnails/{name}") }))
}

pub(crate) async fn thumbnail(
    State(newsroom): State<Newsroom>,
    OrProblem(Path(name)): OrProblem<Path<String>>,
) -> Result<impl IntoResponse, Problem> {
    let jpeg = newsroom.gallery.load(&name).await?;
    let jpeg = jpeg.ok_or_else(|| Problem::not_found("There is no such thumbnail."))?;
    let headers = [
        (header::CONTENT_TYPE, "image/jpeg"),
        // The name is made from the content, so the content never changes.
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, jpeg))
}

fn too_slow() -> Problem {
    let detail = format!("An upload takes at most {} seconds to arrive.", TIME_TO_ARRIVE.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT).detail(detail).close_connection()
}

/// Reads the whole form, and returns its first field `image`.
async fn image_field(mut form: Multipart) -> Result<Vec<u8>, Problem> {
    let mut picture = None;
    let mut bytes_read = 0;
    while let Some(mut field) = form.next_field().await? {
        let wanted = field.name() == Some("image") && picture.is_none();
        let mut content = Vec::new();
        while let Some(chunk) = field.chunk().await? {
            bytes_read += chunk.len();
            if bytes_read > MOST_BYTES {
                (content, picture) = (Vec::new(), None);
            } else if wanted {
                content.extend_from_slice(&chunk);
            }
        }
        if wanted {
            picture = Some(content);
        }
    }
    if bytes_read > MOST_BYTES {
        return Err(Problem::too_large("An upload has at most 20 MB."));
    }
    picture.ok_or_else(|| Problem::bad_request("The form needs a field `image` with the picture."))
}
