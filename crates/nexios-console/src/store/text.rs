//! Texts of others, cut to a length.

/// Names become parts of every row and bar.
pub(super) const NAME: usize = 120;

/// Error texts, messages and URIs.
pub(super) const LINE: usize = 500;

/// A copy of at most so many bytes, with an ellipsis where something is missing.
pub(super) fn bounded(text: &str, bytes: usize) -> Box<str> {
    if text.len() <= bytes {
        return text.into();
    }
    let mut end = bytes - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end]).into()
}
