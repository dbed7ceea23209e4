//! The bar on the terminal while data is created.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// One bar; drawn only where standard error is a terminal.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new(name: &str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let style =
            ProgressStyle::with_template("creating {msg:18} {wide_bar} {human_pos}/{human_len}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message(name.to_owned());
        Progress(bar)
    }

    pub(crate) fn advance(&self, by: u64) {
        self.0.inc(by);
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
