//! How many instructions each of our sides may need.

use crate::contest::Counted;

/// One line a contest: its name and the instructions of a unit.
const BUDGETS: &str = include_str!("budgets.txt");

/// A later compiler may need a little more; a change that needs more than this has to say why.
const TOLERANCE: f64 = 1.05;

fn budget_of(contest: &str) -> Option<u64> {
    BUDGETS.lines().find_map(|line| {
        let (name, budget) = line.split_once(' ')?;
        (name == contest).then(|| budget.trim().parse().ok())?
    })
}

/// One line for each of our sides that is over its budget, or has none.
pub(crate) fn exceeded(counted: &[Counted]) -> Vec<String> {
    let over = |side: &Counted| match budget_of(side.contest) {
        None => Some(format!("{} has no budget", side.contest)),
        Some(budget) if side.instructions as f64 > budget as f64 * TOLERANCE => Some(format!(
            "{} needs {} instructions, over {TOLERANCE} of its budget of {budget}",
            side.contest, side.instructions
        )),
        Some(_) => None,
    };
    counted
        .iter()
        .filter(|side| side.is_ours)
        .filter_map(over)
        .collect()
}

/// The budgets that these numbers would be.
#[allow(clippy::print_stdout, reason = "for whoever writes the file anew")]
pub(crate) fn print(counted: &[Counted]) {
    for side in counted.iter().filter(|side| side.is_ours) {
        println!("{} {}", side.contest, side.instructions);
    }
}
