//! A photo that takes long to read and little memory.

use image::{GrayImage, Luma, codecs::jpeg::JpegEncoder};

/// Low, so that many of them fit into the memory of those that arrive.
const QUALITY: u8 = 40;

/// Six megapixels of noise in two greys: nothing in it repeats.
pub(super) fn photo() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    let noise = GrayImage::from_fn(3_000, 2_000, |_, _| {
        Luma([if random.bool() { 90 } else { 160 }])
    });
    let mut file = Vec::new();
    noise
        .write_with_encoder(JpegEncoder::new_with_quality(&mut file, QUALITY))
        .expect("memory can be written to");
    file
}
