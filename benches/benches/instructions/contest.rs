//! One piece of work that several sides do, and the table of what it took them.

use std::{future::Future, process::ExitCode};

use tokio::runtime::Builder;

/// One piece of work, as `module/operation/size`.
pub(crate) struct Contest {
    pub(crate) name: &'static str,
    /// How many equal units (children, calls) one round consists of.
    pub(crate) units: u64,
    /// Ours is the first.
    pub(crate) sides: Vec<Side>,
}

/// One way of doing the work.
pub(crate) struct Side {
    pub(crate) who: &'static str,
    /// What ours is wanted to need at the most, as a share of this rival.
    pub(crate) goal: Option<f64>,
    work: Box<dyn Fn(u32)>,
}

impl Contest {
    pub(crate) fn new(name: &'static str, units: u64) -> Self {
        Self {
            name,
            units,
            sides: Vec::new(),
        }
    }

    /// Adds a side that does the work in a task of a current-thread runtime, as in a server.
    pub(crate) fn side<Fut>(
        self,
        who: &'static str,
        work: impl Fn() -> Fut + Clone + Send + 'static,
    ) -> Self
    where
        Fut: Future + Send + 'static,
        Fut::Output: Send,
    {
        self.add(who, None, work)
    }

    /// Adds a rival: ours is to need at most `goal` of what it needs.
    pub(crate) fn rival<Fut>(
        self,
        who: &'static str,
        goal: f64,
        work: impl Fn() -> Fut + Clone + Send + 'static,
    ) -> Self
    where
        Fut: Future + Send + 'static,
        Fut::Output: Send,
    {
        self.add(who, Some(goal), work)
    }

    fn add<Fut>(
        mut self,
        who: &'static str,
        goal: Option<f64>,
        work: impl Fn() -> Fut + Clone + Send + 'static,
    ) -> Self
    where
        Fut: Future + Send + 'static,
        Fut::Output: Send,
    {
        let work = move |rounds| {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime can be built on a machine that runs benches");
            let work = work.clone();
            let task = runtime.spawn(async move {
                for _ in 0..rounds {
                    std::hint::black_box(work().await);
                }
            });
            runtime
                .block_on(task)
                .expect("a bench has no panic of its own");
        };
        self.sides.push(Side {
            who,
            goal,
            work: Box::new(work),
        });
        self
    }
}

/// Does the work of one side, in the process whose instructions are counted.
pub(crate) fn work(contests: &[Contest], contest: &str, side: &str, rounds: &str) -> ExitCode {
    let found = contests.iter().find(|known| known.name == contest);
    let side = found.and_then(|contest| contest.sides.iter().find(|known| known.who == side));
    match (side, rounds.parse()) {
        (Some(side), Ok(rounds)) => {
            (side.work)(rounds);
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

/// What one side needs for a unit.
pub(crate) struct Counted {
    pub(crate) contest: &'static str,
    pub(crate) who: &'static str,
    pub(crate) goal: Option<f64>,
    pub(crate) is_ours: bool,
    pub(crate) instructions: u64,
}

/// One row a side, with ours as a share of each rival.
#[allow(
    clippy::print_stdout,
    reason = "printing a table is what a bench is for"
)]
pub(crate) fn print(counted: &[Counted]) {
    println!("| work | who | instructions a unit | ours as a share (goal) |");
    println!("| --- | --- | ---: | --- |");
    let mut ours = 0;
    for side in counted {
        let mut share = String::new();
        if side.is_ours {
            ours = side.instructions;
        } else {
            let ratio = ours as f64 / side.instructions.max(1) as f64;
            share = match side.goal {
                Some(goal) if ratio > goal => format!("{ratio:.2} (≤ {goal}, MISSED)"),
                Some(goal) => format!("{ratio:.2} (≤ {goal})"),
                None => format!("{ratio:.2}"),
            };
        }
        println!(
            "| {} | {} | {} | {share} |",
            side.contest, side.who, side.instructions
        );
    }
}
