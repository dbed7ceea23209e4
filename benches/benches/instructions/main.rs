//! `cargo bench -p benches --bench instructions [-- FILTER]`: how many instructions each side of a contest needs.
//!
//! Counted by valgrind's callgrind, so the numbers depend on the code and the compiler and on no machine. A count is
//! that of a process with many rounds less that of one with few: what a process needs to start and end is gone from it.
//! Ours are held against the budgets in `budgets.txt`; one that is exceeded ends this with an error. `--write` prints the
//! budgets that the numbers of this run would be.

mod background;
mod budgets;
mod callgrind;
mod contest;
mod group;
mod lazy;
mod observe;
mod race;
mod request;
mod serve;

use std::process::ExitCode;

use self::contest::Contest;

fn contests() -> Vec<Contest> {
    [
        group::contests(),
        race::contests(),
        background::contests(),
        lazy::contests(),
        observe::contests(),
        request::contests(),
        serve::contests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing a table is what a bench is for"
)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if let [mark, contest, side, rounds] = &arguments[..]
        && mark == callgrind::ONE_SIDE
    {
        return contest::work(&contests(), contest, side, rounds);
    }
    let filter = arguments
        .iter()
        .find(|argument| !argument.starts_with("--"))
        .map_or("", String::as_str);
    let chosen: Vec<Contest> = contests()
        .into_iter()
        .filter(|contest| contest.name.contains(filter))
        .collect();
    let counted = match callgrind::count(&chosen) {
        Ok(counted) => counted,
        Err(error) => {
            eprintln!("the instructions cannot be counted: {error}");
            return ExitCode::FAILURE;
        }
    };
    contest::print(&counted);
    if arguments.iter().any(|argument| argument == "--write") {
        budgets::print(&counted);
        return ExitCode::SUCCESS;
    }
    let exceeded = budgets::exceeded(&counted);
    for line in &exceeded {
        eprintln!("{line}");
    }
    let ours = counted.iter().filter(|side| side.is_ours).count();
    println!(
        "\n{} passed, {} failed",
        ours - exceeded.len(),
        exceeded.len()
    );
    if exceeded.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
