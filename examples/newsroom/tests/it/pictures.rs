//! Real pictures, made by the tests.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

pub(crate) const RED: Rgb<u8> = Rgb([230, 20, 20]);
pub(crate) const BLUE: Rgb<u8> = Rgb([20, 20, 230]);

/// A picture whose left half is red and whose right half is blue.
pub(crate) fn red_and_blue(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, _| if x < width / 2 { RED } else { BLUE }).into()
}

/// A picture whose left half is red and whose right half is transparent black.
pub(crate) fn red_and_nothing(width: u32, height: u32) -> DynamicImage {
    let [red, green, blue] = RED.0;
    let color = |x| if x < width / 2 { Rgba([red, green, blue, 255]) } else { Rgba([0, 0, 0, 0]) };
    RgbaImage::from_fn(width, height, |x, _| color(x)).into()
}

pub(crate) fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
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
    let length = u16::try_from(2 + 6 + tiff.len()).unwrap();
    let segment = [&b"\xff\xe1"[..], &length.to_be_bytes(), b"Exif\0\0", &tiff].concat();
    let jpeg = encode(image, ImageFormat::Jpeg);
    let (start, rest) = jpeg.split_at(2);
    [start, &segment, rest].concat()
}

/// Checks that a pixel has about that colour; JPEG is never exact.
#[track_caller]
pub(crate) fn assert_color(image: &RgbImage, (x, y): (u32, u32), color: Rgb<u8>) {
    let pixel = image.get_pixel(x, y);
    let near = pixel.0.iter().zip(color.0).all(|(is, wanted)| is.abs_diff(wanted) < 30);
    assert!(near, "{pixel:?} at {x},{y} is not {color:?}");
}
