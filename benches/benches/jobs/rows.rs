//! The table that is printed, row by row.

use std::path::Path;

/// What a row reaches for.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// At least this, or this share of the rival.
    Least(f64),
    /// At most this.
    Most(f64),
    /// Only shown.
    None,
}

pub(crate) struct Rows;

impl Rows {
    pub(crate) fn begin(folder: &Path) -> Self {
        println!("\nStores in {}", folder.display());
        println!("| work | nexios-jobs | rival | ratio | goal | |");
        println!("|---|---:|---:|---:|---:|---|");
        Self
    }

    /// Rates beside a rival's; the goal is one of the ratio.
    pub(crate) fn rates(
        &mut self,
        work: &str,
        ours: &[f64],
        rival: &str,
        theirs: &[f64],
        goal: Goal,
    ) {
        let (ours, theirs) = (median(ours), median(theirs));
        let ratio = ours / theirs;
        println!(
            "| {work} | {ours:.0}/s | {rival}: {theirs:.0}/s | {ratio:.2} | {} |",
            judged(goal, ratio)
        );
    }

    /// A number without a rival.
    pub(crate) fn alone(&mut self, work: &str, value: f64, unit: &str, goal: Goal) {
        println!(
            "| {work} | {value:.2} {unit} | | | {} |",
            judged(goal, value)
        );
    }
}

fn judged(goal: Goal, value: f64) -> String {
    let (text, is_met) = match goal {
        Goal::Least(least) => (format!("at least {least}"), value >= least),
        Goal::Most(most) => (format!("at most {most}"), value <= most),
        Goal::None => return "| ".to_owned(),
    };
    format!("{text} | {}", if is_met { "met" } else { "missed" })
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
