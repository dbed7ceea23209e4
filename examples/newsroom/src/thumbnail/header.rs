//! What a picture says of itself in its first bytes: enough to know what decoding it would take.
//!
//! A file of a few kilobytes can claim gigabytes. So its header is read here, which costs nothing, and the decoder
//! is asked only when there is memory for what it is about to do.

use image::ImageFormat;

use super::{PictureError, jpeg};

/// The longest side of a picture; panoramas of phones have half of that.
const LONGEST_SIDE: u32 = 30_000;
const MOST_PIXELS: u64 = 50_000_000;

/// The most bytes of the pixels while they are decoded: 50 million with colours and transparency.
const MOST_DECODED: u64 = 200_000_000;

/// The most chunks of a WebP that are looked at: the picture is among the first ones.
const MOST_CHUNKS: usize = 100;

/// What the decoders keep beside the pixels: tables, rows, colour profiles and other metadata.
pub(super) const BESIDE_THE_PIXELS: u64 = 8_000_000;

/// A lossless WebP may have 65,536 sets of tables of 20 kB, and a set may have no more than 56 bytes in the file.
const TABLES_OF_A_LOSSLESS_BYTE: u64 = 366;

/// The most memory that is taken for one picture.
pub(crate) const MOST_MEMORY: u64 = 256_000_000;

/// The kind, the size and the cost of a picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(super) format: ImageFormat,
    pub(super) width: u32,
    pub(super) height: u32,
    /// How many bytes decoding it takes at its peak, at most: a large JPEG takes less.
    memory: u64,
}

impl Header {
    /// Reads the header, and refuses a picture that is too large.
    pub(crate) fn read(picture: &[u8]) -> Result<Self, PictureError> {
        if picture.is_empty() {
            return Err(PictureError::Empty);
        }
        let format = image::guess_format(picture).map_err(|_| PictureError::NotAPicture)?;
        let claim = match format {
            ImageFormat::Jpeg => jpeg::claim(picture),
            ImageFormat::Png => png(picture),
            ImageFormat::WebP => webp(picture),
            _ => return Err(PictureError::NotAPicture),
        };
        let Claim {
            width,
            height,
            quarter_bytes_of_a_pixel,
            beside,
        } = claim.ok_or(PictureError::Damaged)?;
        let pixels = u64::from(width) * u64::from(height);
        if width.max(height) > LONGEST_SIDE || pixels > MOST_PIXELS {
            return Err(PictureError::TooManyPixels { width, height });
        }
        let decoded = pixels * quarter_bytes_of_a_pixel / 4;
        if decoded > MOST_DECODED {
            return Err(PictureError::TooManyBytes {
                width,
                height,
                decoded,
            });
        }
        let memory = decoded + beside + BESIDE_THE_PIXELS;
        if memory > MOST_MEMORY {
            let most = (MOST_MEMORY - BESIDE_THE_PIXELS - decoded) / TABLES_OF_A_LOSSLESS_BYTE;
            return Err(PictureError::TooManyLosslessBytes { most });
        }
        Ok(Header {
            format,
            width,
            height,
            memory,
        })
    }

    /// How many bytes decoding the picture takes at its peak, at most.
    pub(crate) fn memory(&self) -> u64 {
        self.memory
    }
}

/// The size of a picture, and what its decoder needs for a pixel, in quarters of a byte.
pub(super) struct Claim {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) quarter_bytes_of_a_pixel: u64,
    /// What grows with the file.
    pub(super) beside: u64,
}

fn png(picture: &[u8]) -> Option<Claim> {
    // The signature and the first chunk, which is always the same.
    let header = picture.get(8..26)?.strip_prefix(b"\0\0\0\x0dIHDR")?;
    let (&[w1, w2, w3, w4, h1, h2, h3, h4], &[depth, color]) =
        (header.first_chunk::<8>()?, header.last_chunk::<2>()?);
    // A palette becomes colours, and any kind may have transparency.
    let channels = if matches!(color, 0 | 4) { 2 } else { 4 };
    Some(Claim {
        width: u32::from_be_bytes([w1, w2, w3, w4]),
        height: u32::from_be_bytes([h1, h2, h3, h4]),
        quarter_bytes_of_a_pixel: 4 * if depth == 16 { 2 * channels } else { channels },
        beside: 0,
    })
}

fn webp(picture: &[u8]) -> Option<Claim> {
    let bytes = picture.get(12..30)?;
    let number = |at: usize| u32::from(bytes[at]) | u32::from(bytes[at + 1]) << 8;
    let (width, height, quarter_bytes_of_a_pixel) = match bytes.first_chunk()? {
        // Lossy: the brightness of each pixel, the colours of four, and what both become.
        b"VP8 " => (number(14) & 0x3fff, number(16) & 0x3fff, 4 * 3 + 6),
        // Lossless: the pixels, perhaps once more without their transparency, and how they are transformed.
        b"VP8L" => {
            let sides = number(9) | number(11) << 16;
            (1 + (sides & 0x3fff), 1 + (sides >> 14 & 0x3fff), 4 * 8)
        }
        // Extended: either of them, with a transparency of its own, on a canvas if it is a film.
        b"VP8X" => {
            let long = |at: usize| 1 + (number(at) | u32::from(bytes[at + 2]) << 16);
            let quarters = match bytes[8] {
                flags if flags & 0x02 != 0 => 4 * 20,
                flags if flags & 0x10 != 0 => 4 * 12,
                _ => 4 * 8,
            };
            (long(12), long(15), quarters)
        }
        _ => return None,
    };
    let beside = lossless_bytes(picture) * TABLES_OF_A_LOSSLESS_BYTE;
    Some(Claim {
        width,
        height,
        quarter_bytes_of_a_pixel,
        beside,
    })
}

/// How many bytes of a WebP are compressed without loss, which includes the transparency of a lossy one.
fn lossless_bytes(picture: &[u8]) -> u64 {
    let mut lossless = 0;
    for (index, (name, size, content)) in chunks(picture.get(12..).unwrap_or_default()).enumerate()
    {
        match name {
            // Whatever is behind so many may be anything.
            _ if index == MOST_CHUNKS => return lossless + content.len() as u64,
            b"VP8L" | b"ALPH" => lossless += size,
            // A film: its first picture is the one that counts, behind what is said of it.
            b"ANMF" => {
                let first = chunks(content.get(16..).unwrap_or_default()).take(MOST_CHUNKS);
                let bytes = first.filter(|(name, ..)| matches!(*name, b"VP8L" | b"ALPH"));
                return lossless + bytes.map(|(_, size, _)| size).sum::<u64>();
            }
            _ => {}
        }
    }
    lossless
}

/// The chunks of a WebP: the name, the size that it claims, and all that follows.
fn chunks(mut rest: &[u8]) -> impl Iterator<Item = (&[u8; 4], u64, &[u8])> {
    let next = move || {
        let (name, after) = rest.split_first_chunk::<4>()?;
        let (size, content) = after.split_first_chunk::<4>()?;
        let size = u64::from(u32::from_le_bytes(*size));
        rest = usize::try_from(size + size % 2)
            .ok()
            .and_then(|size| content.get(size..))
            .unwrap_or_default();
        Some((name, size, content))
    };
    std::iter::from_fn(next)
}
