//! Small pictures of large ones.

mod header;
mod jpeg;
mod reduced;
mod stop;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io::Cursor,
};

use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::{
    DynamicImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat, Limits, Pixel,
    codecs::{
        jpeg::{JpegDecoder, JpegEncoder},
        png::PngDecoder,
        webp::WebPDecoder,
    },
    metadata::Orientation,
};
use nexios_axum::Problem;

use crate::foreign_text::one_line;
use header::BESIDE_THE_PIXELS;
pub(crate) use header::{Header, MOST_MEMORY};
use jpeg::Ending;
pub(crate) use stop::Stop;

/// A thumbnail fits into a square of this side.
const SIDE: u32 = 200;
const QUALITY: u8 = 85;

/// Makes a JPEG that fits 200x200, turned the way its EXIF orientation says and flattened onto white; a smaller
/// picture keeps its size.
///
/// Within the memory that the header told, and not for longer than `stop` allows.
pub(crate) fn create(
    picture: &[u8],
    header: &Header,
    stop: &Stop,
) -> Result<Vec<u8>, PictureError> {
    stop.check()?;
    // Given out in pieces, each of which asks whether to go on.
    let reader = |picture| stop.reader(Cursor::new(picture));
    match header.format {
        ImageFormat::Png => {
            let mut limits = Limits::no_limits();
            limits.max_alloc = Some(BESIDE_THE_PIXELS);
            develop(
                PngDecoder::with_limits(reader(picture), limits)?,
                header,
                stop,
            )
        }
        ImageFormat::WebP => develop(WebPDecoder::new(reader(picture))?, header, stop),
        _ => {
            let ending = jpeg::check(picture)?;
            let orientation = JpegDecoder::new(reader(picture))?.orientation()?;
            let decode = |picture| match reduced::decode(reader(picture), header) {
                // It says only that it could not read on.
                Err(error) => stop.check().and(Err(error)),
                Ok(Some(decoded)) => Ok(decoded),
                Ok(None) => decode(JpegDecoder::new(reader(picture))?, header),
            };
            let decoded = match ending {
                Ending::Marked => decode(picture)?,
                // As browsers do: what lacks only the marker has all its pixels. One that lacks pixels takes them from
                // whatever follows, and so it looks different with each of two endings.
                Ending::Unmarked => {
                    let [whole, other] = jpeg::with_end(picture);
                    let looks = fingerprint(&decode(&whole)?.image);
                    let decoded = decode(&other)?;
                    if fingerprint(&decoded.image) != looks {
                        return Err(PictureError::CutOff);
                    }
                    decoded
                }
            };
            make_small(decoded, header, orientation, stop)
        }
    }
}

/// The pixels of a picture.
struct Decoded {
    image: DynamicImage,
    /// Of its size. There may be a part of a pixel on either side that was not in the picture.
    scale: f64,
}

/// Of two pictures only one is in memory.
fn fingerprint(image: &DynamicImage) -> u64 {
    let mut hasher = DefaultHasher::new();
    image.as_bytes().hash(&mut hasher);
    hasher.finish()
}

fn decode(decoder: impl ImageDecoder, header: &Header) -> Result<Decoded, PictureError> {
    // A file may say one thing to us and another to its decoder; the memory was taken for what it said to us.
    if decoder.dimensions() != (header.width, header.height)
        || decoder.total_bytes() > header.memory()
    {
        return Err(PictureError::Damaged);
    }
    let image = DynamicImage::from_decoder(decoder)?;
    Ok(Decoded { image, scale: 1.0 })
}

fn develop(
    mut decoder: impl ImageDecoder,
    header: &Header,
    stop: &Stop,
) -> Result<Vec<u8>, PictureError> {
    let orientation = decoder.orientation()?;
    make_small(decode(decoder, header)?, header, orientation, stop)
}

fn make_small(
    mut decoded: Decoded,
    header: &Header,
    orientation: Orientation,
    stop: &Stop,
) -> Result<Vec<u8>, PictureError> {
    stop.check()?;
    flatten(&mut decoded.image);
    let mut image = decoded.image;
    if header.width > SIDE || header.height > SIDE {
        image = shrink(&image, decoded.scale, header)?;
        stop.check()?;
    }
    let mut image = DynamicImage::ImageRgb8(image.into_rgb8());
    image.apply_orientation(orientation);

    let mut jpeg = Vec::new();
    image.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, QUALITY))?;
    Ok(jpeg)
}

/// Makes a picture fit into the square; nothing in it is transparent.
fn shrink(image: &DynamicImage, scale: f64, header: &Header) -> Result<DynamicImage, PictureError> {
    let longest = u64::from(header.width.max(header.height));
    let fit = |side: u32| {
        let side = (u64::from(side) * u64::from(SIDE) + longest / 2) / longest;
        u32::try_from(side).unwrap_or(SIDE).max(1)
    };
    let mut small = DynamicImage::new(fit(header.width), fit(header.height), image.color());
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .use_alpha(false)
        // Without the parts of pixels that are not in the picture, or all of it is shifted by as much.
        .crop(
            0.0,
            0.0,
            f64::from(header.width) * scale,
            f64::from(header.height) * scale,
        );
    Resizer::new()
        .resize(image, &mut small, &options)
        .map_err(|_| PictureError::Damaged)?;
    Ok(small)
}

/// JPEG knows no transparency, so what is transparent becomes white; in place, as there may be no room for a copy.
fn flatten(image: &mut DynamicImage) {
    match image {
        DynamicImage::ImageLumaA8(image) => onto_white(image, u8::MAX),
        DynamicImage::ImageRgba8(image) => onto_white(image, u8::MAX),
        DynamicImage::ImageLumaA16(image) => onto_white(image, u16::MAX),
        DynamicImage::ImageRgba16(image) => onto_white(image, u16::MAX),
        _ => {}
    }
}

fn onto_white<P>(image: &mut ImageBuffer<P, Vec<P::Subpixel>>, white: P::Subpixel)
where
    P: Pixel<Subpixel: Into<u32> + TryFrom<u32>>,
{
    let most: u32 = white.into();
    for pixel in image.pixels_mut() {
        let Some((alpha, colors)) = pixel.channels_mut().split_last_mut() else {
            continue;
        };
        let opaque: u32 = (*alpha).into();
        if opaque == most {
            continue;
        }
        for color in colors {
            let value: u32 = (*color).into();
            let blended = (value * opaque + most * (most - opaque)) / most;
            *color = P::Subpixel::try_from(blended).unwrap_or(white);
        }
        *alpha = white;
    }
}

/// Why a picture has no thumbnail.
#[derive(Debug)]
pub(crate) enum PictureError {
    Empty,
    NotAPicture,
    TooManyPixels {
        width: u32,
        height: u32,
    },
    TooManyBytes {
        width: u32,
        height: u32,
        decoded: u64,
    },
    /// The tables of so much data could take any amount of memory.
    TooManyLosslessBytes {
        most: u64,
    },
    TooManyScans,
    /// The time for one picture is over.
    TooSlow,
    /// Nobody waits for the thumbnail any more.
    GivenUp,
    CutOff,
    /// Its header cannot be read, or says something else than the rest.
    Damaged,
    Corrupt(ImageError),
}

impl From<ImageError> for PictureError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::IoError(error) => stop::reason(error),
            error => PictureError::Corrupt(error),
        }
    }
}

impl From<PictureError> for Problem {
    fn from(error: PictureError) -> Self {
        match error {
            PictureError::Empty => Problem::unsupported("The file is empty."),
            PictureError::NotAPicture => Problem::unsupported("Send a JPEG, PNG or WebP picture."),
            PictureError::TooManyPixels { width, height } => {
                let detail = format!(
                    "The picture has {width}x{height} pixels; at most 50 million are possible, \
                     and 30,000 on a side."
                );
                Problem::unprocessable(detail)
            }
            PictureError::TooManyBytes {
                width,
                height,
                decoded,
            } => {
                let megabytes = decoded.div_ceil(1_000_000);
                let detail = format!(
                    "The picture of {width}x{height} pixels takes {megabytes} MB to decode; at most 200 MB are \
                     possible. A smaller one, or one with fewer bits a pixel, takes less."
                );
                Problem::unprocessable(detail)
            }
            PictureError::TooManyLosslessBytes { most } => {
                let detail = format!(
                    "A WebP of that size has at most {} kB that are compressed without loss. Send it as a PNG, \
                     or compressed with loss.",
                    most / 1_000
                );
                Problem::unprocessable(detail)
            }
            PictureError::TooManyScans => Problem::unprocessable(
                "The picture is made of too many layers (scans) to be decoded.",
            ),
            PictureError::TooSlow => {
                Problem::unprocessable("The picture takes too long to decode.")
            }
            // Heard of only if the caller goes on waiting for work that it has cancelled.
            PictureError::GivenUp => {
                nexios::Interrupted::Cancelled(nexios::CancelReason::Requested).into()
            }
            PictureError::CutOff => {
                Problem::unprocessable("The picture is cut off before its end.")
            }
            PictureError::Damaged => damaged(),
            PictureError::Corrupt(error) => {
                let error = one_line(&error.to_string());
                tracing::info!(%error, "a picture could not be decoded");
                damaged()
            }
        }
    }
}

fn damaged() -> Problem {
    Problem::unprocessable("The picture is damaged or of a kind that cannot be decoded.")
}
