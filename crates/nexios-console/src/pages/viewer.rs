use maud::{Markup, html};

use super::text;
use crate::{access::Access, mount::Place};

/// For whom and where something is rendered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Viewer<'a> {
    /// How links lead on from there.
    pub(crate) place: &'a Place,
    pub(crate) access: Access,
    /// Whether the page offers actions.
    pub(crate) acts: bool,
    /// Whether the script writes the times that go on. What it does not write may not change by itself either: every change is
    /// sent to whoever looks.
    pub(crate) scripted: bool,
}

impl Viewer<'_> {
    /// How long something goes on.
    pub(crate) fn since(self, unix_ms: u64) -> Markup {
        let age = || text::age(text::now().saturating_sub(unix_ms) as f64);
        html! {
            time data-since=(unix_ms) { @if !self.scripted { (age()) } }
        }
    }

    /// The same for what tells its age, which is a little different at each look.
    pub(crate) fn since_age(self, age_ms: f64) -> Markup {
        self.since(rounded(text::now() as f64 - age_ms))
    }

    /// How long it is until then.
    pub(crate) fn until(self, unix_ms: u64) -> Markup {
        let left = || text::age(unix_ms.saturating_sub(text::now()) as f64);
        html! {
            time data-until=(unix_ms) { @if !self.scripted { (left()) } }
        }
    }

    pub(crate) fn until_age(self, left_ms: f64) -> Markup {
        self.until(rounded(text::now() as f64 + left_ms))
    }

    /// How long ago something was.
    pub(crate) fn ago(self, unix_ms: u64) -> Markup {
        html! { span title=(text::moment(unix_ms)) { (self.since(unix_ms)) " ago" } }
    }
}

fn rounded(unix_ms: f64) -> u64 {
    (unix_ms / 500.0).round() as u64 * 500
}
