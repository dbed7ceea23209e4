//! What others wrote, as it may be kept.

/// The most characters of it: a peer can send as much as it likes, for each of ten thousand mails.
const LONGEST: usize = 500;

/// Returns one line of a bounded length, which is fit for the log and the database.
pub(crate) fn one_line(text: &str) -> String {
    let mut chars = text.chars();
    let line = chars
        .by_ref()
        .take(LONGEST)
        .map(|char| if char.is_control() { ' ' } else { char });
    let mut line: String = line.collect();
    if chars.next().is_some() {
        line.push('…');
    }
    line
}
