//! Real pictures, made by the tests.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use mozjpeg::{ColorSpace, Compress};

pub(crate) const RED: Rgb<u8> = Rgb([230, 20, 20]);
pub(crate) const BLUE: Rgb<u8> = Rgb([20, 20, 230]);

/// A picture whose left half is red and whose right half is blue.
pub(crate) fn red_and_blue(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, _| if x < width / 2 { RED } else { BLUE }).into()
}

/// A picture whose left half is red and whose right half is transparent black.
pub(crate) fn red_and_nothing(width: u32, height: u32) -> DynamicImage {
    let [red, green, blue] = RED.0;
    let color = |x| {
        if x < width / 2 {
            Rgba([red, green, blue, 255])
        } else {
            Rgba([0, 0, 0, 0])
        }
    };
    RgbaImage::from_fn(width, height, |x, _| color(x)).into()
}

/// A picture that does not compress well: every part of its file has some of its pixels.
pub(crate) fn colourful(width: u32, height: u32) -> DynamicImage {
    let mut random = fastrand::Rng::with_seed(7);
    RgbImage::from_fn(width, height, |_, _| {
        Rgb(random.u32(..).to_be_bytes()[..3].try_into().unwrap())
    })
    .into()
}

/// A picture with soft and sharp parts, as photographs have.
pub(crate) fn scenery(width: u32, height: u32) -> DynamicImage {
    let wave = |x: u32, y: u32| {
        let (x, y) = (f64::from(x), f64::from(y));
        127.0 + 60.0 * (x / 37.0).sin() * (y / 53.0).cos() + 60.0 * ((x + y) / 9.0).sin()
    };
    RgbImage::from_fn(width, height, |x, y| {
        let light = wave(x, y) as u8;
        match (x / 90 + y / 70) % 3 {
            0 => Rgb([light, light / 2, 40]),
            1 => Rgb([30, light, 255 - light]),
            _ => Rgb([light, 200, light / 3]),
        }
    })
    .into()
}

pub(crate) fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image
        .write_to(&mut Cursor::new(&mut bytes), format)
        .unwrap();
    bytes
}

/// A JPEG with an EXIF segment that says how to turn it.
pub(crate) fn jpeg_turned(image: &DynamicImage, orientation: u8) -> Vec<u8> {
    let tiff = [
        &b"MM\x00\x2a\x00\x00\x00\x08"[..], // big-endian, the first directory at byte 8
        &b"\x00\x01"[..],                   // of one entry:
        &b"\x01\x12\x00\x03\x00\x00\x00\x01\x00"[..], // orientation, one short
        &[orientation, 0, 0],
        &b"\x00\x00\x00\x00"[..], // no next directory
    ]
    .concat();
    with_segment(
        &encode(image, ImageFormat::Jpeg),
        0xe1,
        &[b"Exif\0\0", &tiff[..]].concat(),
    )
}

/// A JPEG of several scans, with a colour for each four pixels, as most are on the web.
pub(crate) fn jpeg_in_scans(image: &DynamicImage) -> Vec<u8> {
    let mut encoder = Compress::new(ColorSpace::JCS_RGB);
    encoder.set_size(image.width() as usize, image.height() as usize);
    encoder.set_progressive_mode();
    encoder.set_chroma_sampling_pixel_sizes((2, 2), (2, 2));
    compress(encoder, image.to_rgb8().as_raw())
}

/// A JPEG of cyan, magenta, yellow and black, each as what is left of white, as Adobe's programs write it.
pub(crate) fn jpeg_for_printers(image: &DynamicImage) -> Vec<u8> {
    let mut encoder = Compress::new(ColorSpace::JCS_CMYK);
    encoder.set_size(image.width() as usize, image.height() as usize);
    let inks: Vec<u8> = image
        .to_rgb8()
        .pixels()
        .flat_map(|Rgb([red, green, blue])| [*red, *green, *blue, 255])
        .collect();
    compress(encoder, &inks)
}

fn compress(encoder: Compress, pixels: &[u8]) -> Vec<u8> {
    let mut jpeg = encoder.start_compress(Vec::new()).unwrap();
    jpeg.write_scanlines(pixels).unwrap();
    jpeg.finish().unwrap()
}

/// A JPEG with a smaller JPEG in one of its segments, as cameras make them.
pub(crate) fn jpeg_with_preview(image: &DynamicImage) -> Vec<u8> {
    let preview = encode(&image.thumbnail(60, 60), ImageFormat::Jpeg);
    with_segment(&encode(image, ImageFormat::Jpeg), 0xe2, &preview)
}

/// Puts a segment behind the start of a JPEG.
fn with_segment(jpeg: &[u8], marker: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(2 + content.len()).unwrap().to_be_bytes();
    let (start, rest) = jpeg.split_at(2);
    [start, &[0xff, marker], &length, content, rest].concat()
}

/// Checks that a pixel has about that colour; JPEG is never exact.
#[track_caller]
pub(crate) fn assert_color(image: &RgbImage, (x, y): (u32, u32), color: Rgb<u8>) {
    let pixel = image.get_pixel(x, y);
    let near = pixel
        .0
        .iter()
        .zip(color.0)
        .all(|(is, wanted)| is.abs_diff(wanted) < 30);
    assert!(near, "{pixel:?} at {x},{y} is not {color:?}");
}
