//! Whether a JPEG is all there.
//!
//! The decoder fills what is missing with grey and calls it a success, so the end is looked for before.

/// What begins each marker.
const MARKER: u8 = 0xff;
const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

/// Returns whether a JPEG reaches its end marker.
///
/// It walks from segment to segment: the bytes of an end marker also occur inside of segments (a small preview
/// is a JPEG of its own) and behind the end, where some cameras append a film.
pub(super) fn is_complete(jpeg: &[u8]) -> bool {
    reaches_end(jpeg).unwrap_or(false)
}

/// Walks to the end marker; `None` when the bytes run out before.
fn reaches_end(jpeg: &[u8]) -> Option<bool> {
    let mut rest = jpeg;
    loop {
        let (marker, after) = next_marker(rest)?;
        rest = match marker {
            END_OF_IMAGE => return Some(true),
            // Those have no segment; zero is no marker at all, but stray bytes that some writers leave.
            START_OF_IMAGE | 0x00 | 0x01 | 0xd0..=0xd7 => after,
            START_OF_SCAN => skip_scan(skip_segment(after)?),
            _ => skip_segment(after)?,
        };
    }
}

/// Finds the next marker; it may stand behind stray bytes and any number of fill bytes.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let start = bytes.iter().position(|byte| *byte == MARKER)?;
    let name = start + bytes.get(start..)?.iter().position(|byte| *byte != MARKER)?;
    Some((*bytes.get(name)?, bytes.get(name + 1..)?))
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
