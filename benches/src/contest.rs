use std::{
    fmt,
    time::{Duration, Instant},
};

/// One piece of work, done by several sides.
#[derive(Debug)]
pub struct Contest {
    name: String,
    units: u64,
    rounds: usize,
    counts: bool,
    sides: Vec<Side>,
}

/// One way of doing the work.
pub struct Side {
    who: &'static str,
    work: Box<dyn FnMut(u32)>,
    goals: Vec<(&'static str, f64)>,
}

/// What one side took.
#[derive(Debug)]
pub struct Outcome {
    /// The work, as `module/operation/runtime/size`.
    pub work: String,
    /// Who did it.
    pub who: &'static str,
    /// Median time of one unit.
    pub time: Duration,
    /// Allocations of one unit, if they were counted.
    pub allocations: Option<f64>,
    /// Ratios to the rivals that there is a goal for: the rival, the ratio, the goal.
    pub ratios: Vec<(&'static str, f64, f64)>,
}

/// How long one side has its turn.
const TURN: Duration = Duration::from_micros(400);

impl Contest {
    /// Names a piece of work that consists of `units` equal units (children, calls).
    #[must_use]
    pub fn new(name: impl Into<String>, units: u64) -> Self {
        Self {
            name: name.into(),
            units,
            rounds: 301,
            counts: true,
            sides: Vec::new(),
        }
    }

    /// Sets how many turns each side has. Default: 301.
    #[must_use]
    pub fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// Leaves the allocations uncounted: they are made on other threads than the one that drives.
    #[must_use]
    pub fn without_allocations(mut self) -> Self {
        self.counts = false;
        self
    }

    /// Adds a side.
    #[must_use]
    pub fn side(mut self, side: Side) -> Self {
        self.sides.push(side);
        self
    }

    /// Lets all sides do the work in turns.
    #[must_use]
    pub fn run(mut self) -> Vec<Outcome> {
        let repeats: Vec<u32> = self.sides.iter_mut().map(Side::calibrate).collect();
        let mut times = vec![Vec::with_capacity(self.rounds); self.sides.len()];
        for round in 0..self.rounds {
            for turn in 0..self.sides.len() {
                // Whoever follows a heavy side would always pay for its caches; so the order rotates.
                let index = (round + turn) % self.sides.len();
                let begun = Instant::now();
                (self.sides[index].work)(repeats[index]);
                times[index].push(begun.elapsed().as_nanos() as f64 / f64::from(repeats[index]));
            }
        }
        let (counts, units) = (self.counts, self.units);
        let allocations: Vec<_> = self
            .sides
            .iter_mut()
            .map(|side| counts.then(|| side.allocations(units)))
            .collect();
        let ratio_to = |index: usize, rival: &str| {
            let rival = self.sides.iter().position(|side| side.who == rival)?;
            let pairs = times[index].iter().zip(&times[rival]);
            Some(median(pairs.map(|(ours, theirs)| ours / theirs).collect()))
        };
        let outcome = |(index, side): (usize, &Side)| Outcome {
            work: self.name.clone(),
            who: side.who,
            time: Duration::from_nanos((median(times[index].clone()) / self.units as f64) as u64),
            allocations: allocations[index],
            ratios: side
                .goals
                .iter()
                .filter_map(|(rival, goal)| Some((*rival, ratio_to(index, rival)?, *goal)))
                .collect(),
        };
        self.sides.iter().enumerate().map(outcome).collect()
    }
}

impl Side {
    /// Names who does `work`; one call does the whole piece as often as it is told.
    #[must_use]
    pub fn new(who: &'static str, work: impl FnMut(u32) + 'static) -> Self {
        Self {
            who,
            work: Box::new(work),
            goals: Vec::new(),
        }
    }

    /// Compares with `rival`: at most `goal` times its time is wanted.
    #[must_use]
    pub fn goal(mut self, rival: &'static str, goal: f64) -> Self {
        self.goals.push((rival, goal));
        self
    }

    /// Warms up, and finds how often the work fits into a turn.
    fn calibrate(&mut self) -> u32 {
        let begun = Instant::now();
        (self.work)(1);
        let mut done = 1;
        while begun.elapsed() < TURN * 20 {
            (self.work)(8);
            done += 8;
        }
        (done / 20).max(1)
    }

    fn allocations(&mut self, units: u64) -> f64 {
        const RUNS: u32 = 20;
        let counted = allocation_counter::measure(|| (self.work)(RUNS));
        counted.count_total as f64 / (u64::from(RUNS) * units) as f64
    }
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side")
            .field("who", &self.who)
            .field("goals", &self.goals)
            .finish_non_exhaustive()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
