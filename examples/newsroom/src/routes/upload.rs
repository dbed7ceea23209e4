//! `POST /upload` and `GET /thumbnails/{name}`: CPU work with a bound.

use axum::{
    Json,
    extract::{Path, Request, State},
    http::header,
    response::IntoResponse,
};
use nexios_axum::{OrProblem, Problem};
use serde::Serialize;

use crate::Newsroom;

#[derive(Serialize)]
pub(crate) struct Uploaded {
    thumbnail_url: String,
}

pub(crate) async fn upload(
    State(newsroom): State<Newsroom>,
    request: Request,
) -> Result<Json<Uploaded>, Problem> {
    let upload = newsroom.uploads.receive(request).await;
    let upload = upload.map_err(|error| error.problem(newsroom.darkroom.come_again()))?;
    let jpeg = newsroom.darkroom.develop(upload).await?;
    let name = newsroom.gallery.store(jpeg).await?;
    Ok(Json(Uploaded {
        thumbnail_url: format!("/thumbnails/{name}"),
    }))
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
