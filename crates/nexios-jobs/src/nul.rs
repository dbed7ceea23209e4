//! Texts as every database keeps them.

/// Postgres keeps no NUL; its picture stands for it.
pub(crate) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}
