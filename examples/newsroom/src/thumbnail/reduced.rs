//! A JPEG decoded at a fraction of its size.
//!
//! A JPEG holds blocks of frequencies. What a thumbnail cannot show of them is never turned into pixels: most of the time
//! that decoding takes, and nearly all of the memory.

use std::{
    io::BufRead,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use image::{
    DynamicImage, GrayImage, ImageError, ImageFormat, RgbImage,
    error::{DecodingError, ImageFormatHint},
};
use mozjpeg::{ColorSpace, Decompress};

use super::{Decoded, PictureError, SIDE, header::Header, stop};

/// What is left is made small with a filter, which wants so many pixels for one of the thumbnail: with three the result is
/// a little less like that of the whole picture, and takes no less time.
const PIXELS_FOR_ONE: u32 = 4;

/// The decoder makes a picture of so many eighths.
const EIGHTHS: u8 = 8;

/// From here on the other decoder, which has vector instructions, makes the whole picture in the same time.
const TOO_MANY: u8 = 4;

/// How a fatal error of the decoder begins, which it tells by unwinding.
const FATAL: &str = "libjpeg fatal error: ";

/// Decodes a JPEG at the size of a few thumbnails; `None` if it is not much larger than that, or has colours for printers,
/// which this decoder does not know.
pub(super) fn decode(jpeg: impl BufRead, header: &Header) -> Result<Option<Decoded>, PictureError> {
    // Nothing of it is looked at after it has unwound.
    match catch_unwind(AssertUnwindSafe(|| decode_or_unwind(jpeg, header))) {
        Ok(decoded) => decoded,
        Err(payload) => match payload.downcast::<String>() {
            Ok(error) if error.starts_with(FATAL) => {
                let format = ImageFormatHint::Exact(ImageFormat::Jpeg);
                let error = ImageError::Decoding(DecodingError::new(format, *error));
                Err(PictureError::Corrupt(error))
            }
            Ok(panic) => resume_unwind(panic),
            Err(panic) => resume_unwind(panic),
        },
    }
}

fn decode_or_unwind(jpeg: impl BufRead, header: &Header) -> Result<Option<Decoded>, PictureError> {
    let eighths = eighths(header.width.max(header.height));
    if eighths >= TOO_MANY {
        return Ok(None);
    }
    let mut decoder = Decompress::new_reader(jpeg).map_err(stop::reason)?;
    if decoder.size() != (header.width as usize, header.height as usize) {
        return Err(PictureError::Damaged);
    }
    decoder.scale(eighths);
    let is_gray = match decoder.color_space() {
        ColorSpace::JCS_GRAYSCALE => true,
        ColorSpace::JCS_RGB | ColorSpace::JCS_YCbCr => false,
        _ => return Ok(None),
    };
    let mut decoder = match is_gray {
        true => decoder.grayscale(),
        false => decoder.rgb(),
    }
    .map_err(stop::reason)?;
    let size = [decoder.width(), decoder.height()].map(u32::try_from);
    let pixels = decoder.read_scanlines::<u8>().map_err(stop::reason)?;
    decoder.finish().map_err(stop::reason)?;
    let [Ok(width), Ok(height)] = size else {
        return Err(PictureError::Damaged);
    };
    let image = match is_gray {
        true => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        false => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
    };
    let image = image.ok_or(PictureError::Damaged)?;
    Ok(Some(Decoded {
        image,
        scale: f64::from(eighths) / f64::from(EIGHTHS),
    }))
}

/// The smallest size that has enough pixels.
fn eighths(longest: u32) -> u8 {
    let enough = u32::from(EIGHTHS) * PIXELS_FOR_ONE * SIDE;
    u8::try_from(enough.div_ceil(longest.max(1))).map_or(EIGHTHS, |eighths| eighths.min(EIGHTHS))
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufReader, Cursor, Read};

    use image::{DynamicImage, GrayImage};

    use super::*;

    #[test]
    fn what_is_decoded_has_four_pixels_for_one_of_the_thumbnail() {
        for (longest, of_eight) in [
            (1, 8),
            (800, 8),
            (801, 8),
            (1_600, 4),
            (2_400, 3),
            (30_000, 1),
        ] {
            assert_eq!(eighths(longest), of_eight, "{longest}");
        }
    }

    fn jpeg() -> Vec<u8> {
        let image = GrayImage::from_fn(2_400, 300, |x, y| [(x ^ y) as u8].into());
        let mut jpeg = Vec::new();
        let image = DynamicImage::from(image);
        image
            .write_to(&mut Cursor::new(&mut jpeg), ImageFormat::Jpeg)
            .unwrap();
        jpeg
    }

    fn error_of(jpeg: &[u8], reader: impl BufRead) -> String {
        let header = Header::read(jpeg).unwrap();
        match decode(reader, &header) {
            Err(PictureError::Corrupt(error)) => error.to_string(),
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("decoded"),
        }
    }

    #[test]
    fn what_the_decoder_gives_up_is_an_error() {
        let mut jpeg = jpeg();
        decode(&jpeg[..], &Header::read(&jpeg).unwrap())
            .unwrap()
            .unwrap();
        // Without the table by which its numbers are multiplied, which becomes a comment.
        let table = jpeg.windows(2).position(|pair| pair == [0xff, 0xdb]);
        jpeg[table.unwrap() + 1] = 0xfe;
        let error = error_of(&jpeg, &jpeg[..]);
        assert!(error.contains("uantization table"), "{error}");
    }

    #[test]
    fn a_reader_that_fails_ends_it() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("stopped"))
            }
        }
        let jpeg = jpeg();
        let half = BufReader::with_capacity(1_000, jpeg[..jpeg.len() / 2].chain(Failing));
        let error = error_of(&jpeg, half);
        assert!(error.contains(FATAL), "{error}");
    }
}
