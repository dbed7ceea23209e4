//! What a JPEG claims, and whether it is all there.
//!
//! The decoder fills what is missing with grey and calls it a success, so the end is looked for before.

use super::{PictureError, header::Claim};

/// What begins each marker.
const MARKER: u8 = 0xff;
const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

/// Ends a picture that has no end, in two ways: the other one has bits first, which a scan that is not whole takes for its own.
pub(super) fn with_end(picture: &[u8]) -> [Vec<u8>; 2] {
    // Half a marker is none.
    let half = picture.iter().rev().take_while(|byte| **byte == MARKER);
    let picture = &picture[..picture.len() - half.count()];
    [&[][..], &[0xa5, 0x5a, 0xa5, 0x5a, 0xa5, 0x5a]]
        .map(|bits| [picture, bits, &[MARKER, END_OF_IMAGE]].concat())
}

const PROGRESSIVE: u8 = 0xc2;

/// The most scans of a picture: each one is a pass over all pixels and may have next to no bytes. Those that people
/// send have one, or ten if they are progressive.
const MOST_SCANS: usize = 32;

/// The most segments ahead of the pixels, which are looked at before there is a thread for the picture.
const MOST_SEGMENTS: usize = 1_000;

/// The most bytes ahead of a marker that belong to nothing.
const MOST_STRAY_BYTES: usize = 4_096;

/// Reads the size of the picture and what decoding it takes; `None` when it is not there.
pub(super) fn claim(jpeg: &[u8]) -> Option<Claim> {
    let mut rest = jpeg;
    let mut frame: Option<Frame<'_>> = None;
    for _ in 0..MOST_SEGMENTS {
        let (marker, after) = next_marker(rest)?;
        rest = match marker {
            END_OF_IMAGE => return None,
            START_OF_SCAN => return frame?.claim(*after.get(2)?, jpeg.len()),
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                frame = Some(Frame {
                    progressive: marker == PROGRESSIVE,
                    segment: after,
                });
                skip_segment(after)?
            }
            _ => skip(marker, after)?,
        };
    }
    None
}

/// The segment that tells the size.
struct Frame<'a> {
    progressive: bool,
    segment: &'a [u8],
}

impl Frame<'_> {
    fn claim(self, components_of_first_scan: u8, bytes: usize) -> Option<Claim> {
        let &[_, _, _, h1, h2, w1, w2, count] = self.segment.first_chunk()?;
        let components = self.segment.get(8..8 + 3 * usize::from(count))?;
        let samples = |of: &[u8]| u64::from(of[1] >> 4) * u64::from(of[1] & 0xf);
        let (all, most) = components
            .chunks_exact(3)
            .map(samples)
            .fold((0, 1), |(all, most), samples| {
                (all + samples, samples.max(most))
            });
        let mut quarters = if count == 1 { 4 } else { 12 };
        // What comes in several scans is kept as coefficients of two bytes until the last one.
        if self.progressive || components_of_first_scan != count {
            quarters += (8 * all).div_ceil(most);
        }
        Some(Claim {
            width: u16::from_be_bytes([w1, w2]).into(),
            height: u16::from_be_bytes([h1, h2]).into(),
            quarter_bytes_of_a_pixel: quarters,
            // The decoder copies the file, and metadata once more; one without an end is given one, in two copies.
            beside: 4 * bytes as u64,
        })
    }
}

/// How a picture ends behind its last scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Marked,
    /// With the file, and perhaps too early.
    Unmarked,
}

/// Checks that a JPEG is made of a number of scans that people use, and how it ends.
///
/// It walks from segment to segment: the bytes of an end marker also occur inside of segments (a small preview
/// is a JPEG of its own) and behind the end, where some cameras append a film.
pub(super) fn check(jpeg: &[u8]) -> Result<Ending, PictureError> {
    let mut rest = jpeg;
    let mut scans = 0;
    loop {
        let Some((marker, after)) = next_marker(rest) else {
            return match scans {
                0 => Err(PictureError::CutOff),
                _ => Ok(Ending::Unmarked),
            };
        };
        if marker == END_OF_IMAGE {
            return Ok(Ending::Marked);
        }
        rest = skip(marker, after).ok_or(PictureError::CutOff)?;
        if marker == START_OF_SCAN {
            scans += 1;
            if scans > MOST_SCANS {
                return Err(PictureError::TooManyScans);
            }
            rest = skip_scan(rest);
        }
    }
}

/// Finds the next marker; it may stand behind stray bytes and fill bytes.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let near = bytes.get(..MOST_STRAY_BYTES).unwrap_or(bytes);
    let start = near.iter().position(|byte| *byte == MARKER)?;
    let name = start + near.get(start..)?.iter().position(|byte| *byte != MARKER)?;
    Some((*bytes.get(name)?, bytes.get(name + 1..)?))
}

/// Skips what belongs to a marker.
fn skip(marker: u8, after: &[u8]) -> Option<&[u8]> {
    match marker {
        // Those have no segment; zero is no marker at all, but stray bytes that some writers leave.
        START_OF_IMAGE | 0x00 | 0x01 | 0xd0..=0xd7 => Some(after),
        _ => skip_segment(after),
    }
}

/// Skips a segment, whose first two bytes are its length, themselves included.
fn skip_segment(bytes: &[u8]) -> Option<&[u8]> {
    let (length, _) = bytes.split_first_chunk::<2>()?;
    bytes.get(usize::from(u16::from_be_bytes(*length)).max(2)..)
}

/// Skips coded pixels: within them a marker byte is followed by zero, by a restart number or by itself.
fn skip_scan(bytes: &[u8]) -> &[u8] {
    let is_end = |pair: &[u8]| pair[0] == MARKER && !matches!(pair[1], 0x00 | 0xd0..=0xd7 | MARKER);
    let end = bytes.windows(2).position(is_end).unwrap_or(bytes.len());
    &bytes[end..]
}
