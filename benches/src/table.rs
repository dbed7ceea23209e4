use crate::Outcome;

/// Prints outcomes as one Markdown table; a missed goal says so.
#[allow(
    clippy::print_stdout,
    reason = "printing the table is what a bench is for"
)]
pub fn print(outcomes: &[Outcome]) {
    println!("| work | who | time a unit | allocations a unit | ratio to rival (goal) |");
    println!("| --- | --- | ---: | ---: | --- |");
    for outcome in outcomes {
        let ratios: Vec<String> = outcome
            .ratios
            .iter()
            .map(|(rival, ratio, goal)| {
                let missed = if ratio > goal { ", MISSED" } else { "" };
                format!("{ratio:.2} of {rival} (≤ {goal}{missed})")
            })
            .collect();
        println!(
            "| {} | {} | {:?} | {} | {} |",
            outcome.work,
            outcome.who,
            outcome.time,
            outcome
                .allocations
                .map_or_else(|| "–".into(), |count| format!("{count:.2}")),
            ratios.join("; ")
        );
    }
}
