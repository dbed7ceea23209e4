//! Runs one side of a contest in a process of its own under callgrind.

use std::{env, io, process::Command};

use crate::contest::{Contest, Counted};

/// The argument with which this binary does the work of one side and nothing else.
pub(crate) const ONE_SIDE: &str = "--one-side";

const FEW: u32 = 100;
const MANY: u32 = 1_100;

/// Counts all sides of all contests.
pub(crate) fn count(contests: &[Contest]) -> io::Result<Vec<Counted>> {
    let mut counted = Vec::new();
    for contest in contests {
        for (index, side) in contest.sides.iter().enumerate() {
            let few = instructions(contest.name, side.who, FEW)?;
            let many = instructions(contest.name, side.who, MANY)?;
            let rounds = u64::from(MANY - FEW);
            counted.push(Counted {
                contest: contest.name,
                who: side.who,
                goal: side.goal,
                is_ours: index == 0,
                instructions: many.saturating_sub(few) / (rounds * contest.units),
            });
        }
    }
    Ok(counted)
}

/// All instructions of a process that does this side's work so many times.
fn instructions(contest: &str, side: &str, rounds: u32) -> io::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args([ONE_SIDE, contest, side, &rounds.to_string()])
        .output()
        .map_err(|error| {
            io::Error::new(error.kind(), format!("valgrind does not start: {error}"))
        })?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let number = collected.and_then(|(_, number)| number.trim().parse().ok());
    match number {
        Some(number) if output.status.success() => Ok(number),
        _ => Err(io::Error::other(format!(
            "callgrind has counted nothing for {contest}, {side}: {said}"
        ))),
    }
}
