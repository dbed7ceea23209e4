//! Small pictures of large ones.

mod jpeg;

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage, codecs::jpeg::JpegEncoder,
    imageops::FilterType,
};
use nexios_axum::Problem;

/// A thumbnail fits into a square of this side.
const SIDE: u32 = 200;
const QUALITY: u8 = 85;
/// A picture of a few kilobytes can claim gigabytes, so its size is looked at before it is decoded.
const MOST_PIXELS: u64 = 50_000_000;

/// Makes a JPEG that fits 200x200, turned the way its EXIF orientation says and flattened onto white; a smaller
/// picture keeps its size.
pub(crate) fn create(picture: &[u8]) -> Result<Vec<u8>, PictureError> {
    let format = image::guess_format(picture).map_err(|_| PictureError::NotAPicture)?;
    if !matches!(format, ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP) {
        return Err(PictureError::NotAPicture);
    }
    let mut decoder = ImageReader::with_format(Cursor::new(picture), format).into_decoder()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(PictureError::TooManyPixels { width, height });
    }
    if format == ImageFormat::Jpeg && !jpeg::is_complete(picture) {
        return Err(PictureError::CutOff);
    }
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::ImageRgb8(flatten(DynamicImage::from_decoder(decoder)?));
    if width > SIDE || height > SIDE {
        image = image.resize(SIDE, SIDE, FilterType::Lanczos3);
    }
    image.apply_orientation(orientation);

    let mut jpeg = Vec::new();
    image.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, QUALITY))?;
    Ok(jpeg)
}

/// JPEG knows no transparency, so what is transparent becomes white.
fn flatten(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    let mut flat = RgbImage::new(image.width(), image.height());
    for (to, from) in flat.pixels_mut().zip(image.pixels()) {
        let [red, green, blue, alpha] = from.0.map(u32::from);
        to.0 = [red, green, blue].map(|value| {
            let blended = (value * alpha + 255 * (255 - alpha)) / 255;
            u8::try_from(blended).unwrap_or(u8::MAX)
        });
    }
    flat
}

/// Why a picture has no thumbnail.
#[derive(Debug)]
pub(crate) enum PictureError {
    NotAPicture,
    TooManyPixels { width: u32, height: u32 },
    CutOff,
    Corrupt(ImageError),
}

impl From<ImageError> for PictureError {
    fn from(error: ImageError) -> Self {
        PictureError::Corrupt(error)
    }
}

impl From<PictureError> for Problem {
    fn from(error: PictureError) -> Self {
        match error {
            PictureError::NotAPicture => Problem::unsupported("Send a JPEG, PNG or WebP picture."),
            PictureError::TooManyPixels { width, height } => {
                let detail =
                    format!("The picture has {width}x{height} pixels; at most 50 million are possible.");
                Problem::unprocessable(detail)
            }
            PictureError::CutOff => Problem::unprocessable("The picture is cut off before its end."),
            PictureError::Corrupt(error) => {
                tracing::info!(%error, "a picture could not be decoded");
                Problem::unprocessable("The picture is damaged or of a kind that cannot be decoded.")
            }
        }
    }
}
