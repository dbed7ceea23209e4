//! Programs at random: what they are made of.

use std::sync::Arc;

/// Numbers that depend on a seed and on nothing else.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn milliseconds(&mut self) -> u64 {
        1 + self.below(4) as u64
    }

    fn maybe<T>(&mut self, times: usize, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(times).then(|| value(self))
    }
}

pub(crate) type Shared = Arc<Program>;

/// A tree of work. Times are in milliseconds.
#[derive(Debug)]
pub(crate) enum Program {
    Nothing,
    Yields(usize),
    Sleeps(u64),
    /// Until it is dropped.
    Stays,
    Fails,
    Panics,
    /// Cancels one of the groups around it, or one that was there once.
    CancelsGroup(usize),
    /// Spawns on one of the groups around it, or on one that was there once.
    SpawnsOn(usize, bool, Shared),
    InOrder(Vec<Shared>),
    AtOnce(Vec<Shared>),
    /// Is dropped after so many polls.
    Left(usize, Shared),
    Custom(CustomPlan, Shared),
    Group(GroupPlan),
    Race(RacePlan),
    Hedge(HedgePlan),
    Pool(PoolPlan),
    Lazy(usize, LazyPlan),
    Background(BackgroundPlan, Shared),
    DrainsBackground(u64),
}

#[derive(Debug)]
pub(crate) enum CustomPlan {
    Run,
    PolledByHand,
    Request,
}

#[derive(Debug)]
pub(crate) struct GroupPlan {
    pub(crate) timeout: Option<u64>,
    pub(crate) limit: Option<usize>,
    pub(crate) grace: Option<u64>,
    pub(crate) goes_on: bool,
    pub(crate) children: Vec<(ChildSort, HandleFate, Shared)>,
    pub(crate) items: Vec<Shared>,
    pub(crate) in_order: bool,
    pub(crate) body: Shared,
    pub(crate) end: GroupEnd,
}

#[derive(Debug)]
pub(crate) enum ChildSort {
    Child,
    Named,
    Parallel,
    Daemon,
    Finalizer,
}

#[derive(Debug)]
pub(crate) enum HandleFate {
    Dropped,
    Awaited,
    AwaitedAfterTheGroup,
    Cancelled,
    CancelledInTheBody,
}

#[derive(Debug)]
pub(crate) enum GroupEnd {
    Run,
    /// Its `run` is dropped after so many polls.
    RunLeft(usize),
    DroppedUnused,
    RunTwice,
}

#[derive(Debug)]
pub(crate) struct RacePlan {
    pub(crate) candidates: Vec<(Start, Option<u64>, Shared)>,
    pub(crate) timeout: Option<u64>,
    pub(crate) refuses: bool,
    pub(crate) fatal: bool,
    pub(crate) first_completed: bool,
}

#[derive(Debug)]
pub(crate) enum Start {
    Now,
    After(u64),
    OnFailure,
}

#[derive(Debug)]
pub(crate) struct HedgePlan {
    pub(crate) delay: Option<u64>,
    pub(crate) attempts: Vec<Shared>,
}

#[derive(Debug)]
pub(crate) struct PoolPlan {
    pub(crate) call: PoolCallPlan,
    pub(crate) closure: ClosurePlan,
    /// Is dropped after so many polls.
    pub(crate) left: Option<usize>,
}

#[derive(Debug)]
pub(crate) enum PoolCallPlan {
    Run,
    RunWith,
    TryRun,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum ClosurePlan {
    Returns,
    Sleeps,
    Panics,
    MakesWork,
}

#[derive(Debug)]
pub(crate) enum LazyPlan {
    Gets,
    Refreshes,
    Resets,
    Sets,
    /// The call begins inside other work, and goes on when that has ended.
    Carried,
    /// The call begins inside other work, and is dropped when that has ended.
    CarriedAndDropped,
}

#[derive(Debug)]
pub(crate) struct BackgroundPlan {
    pub(crate) spawn: BackgroundSpawn,
    pub(crate) timeout: Option<u64>,
    pub(crate) unique: bool,
    pub(crate) attempts: u32,
    pub(crate) handle: BackgroundHandle,
}

#[derive(Debug)]
pub(crate) enum BackgroundSpawn {
    Future,
    Closure,
    Fallible,
    Every,
}

#[derive(Debug)]
pub(crate) enum BackgroundHandle {
    Dropped,
    Awaited,
    Cancelled,
    Scoped,
}

/// How many lazy values there are.
pub(crate) const LAZIES: usize = 3;

/// Makes programs up.
pub(crate) struct Author {
    pub(crate) random: Random,
    /// Whether there is a thread pool.
    pub(crate) pool: bool,
}

impl Author {
    pub(crate) fn program(&mut self, depth: usize) -> Shared {
        if depth == 0 {
            return self.leaf();
        }
        let deeper = depth - 1;
        Arc::new(match self.random.below(if self.pool { 20 } else { 16 }) {
            0..=4 => Program::Group(self.group(deeper)),
            5 => Program::Race(self.race(deeper)),
            6 => Program::Hedge(HedgePlan {
                delay: self.random.maybe(2, Random::milliseconds),
                attempts: self.some(3, deeper),
            }),
            7 => Program::Custom(self.custom(), self.program(deeper)),
            8 | 9 => Program::Background(self.background(), self.program(deeper)),
            10 | 11 => Program::Lazy(self.random.below(LAZIES), self.lazy()),
            12 => Program::InOrder(self.some(3, deeper)),
            13 => Program::AtOnce(self.some(3, deeper)),
            14 => Program::Left(1 + self.random.below(3), self.program(deeper)),
            15 => Program::SpawnsOn(
                self.random.below(8),
                self.random.one_in(2),
                self.program(deeper),
            ),
            _ => Program::Pool(self.pool()),
        })
    }

    fn leaf(&mut self) -> Shared {
        Arc::new(match self.random.below(14) {
            0..=1 => Program::Nothing,
            2..=4 => Program::Yields(1 + self.random.below(3)),
            5..=6 => Program::Sleeps(self.random.milliseconds()),
            7 => Program::Stays,
            8..=9 => Program::Fails,
            10 => Program::Panics,
            11 => Program::CancelsGroup(self.random.below(8)),
            12 if self.random.one_in(4) => Program::DrainsBackground(self.random.milliseconds()),
            12 => Program::Nothing,
            _ => Program::Lazy(self.random.below(LAZIES), LazyPlan::Gets),
        })
    }

    /// What ends by itself.
    pub(crate) fn short(&mut self) -> Shared {
        let leaf = Arc::new(match self.random.below(4) {
            0 => Program::Nothing,
            1 => Program::Yields(2),
            2 => Program::Sleeps(self.random.milliseconds()),
            _ => Program::Panics,
        });
        Arc::new(Program::Custom(CustomPlan::Run, leaf))
    }

    /// What a lazy value computes.
    pub(crate) fn computation(&mut self) -> Shared {
        match self.random.below(4) {
            0 => self.short(),
            1 => Arc::new(Program::Fails),
            _ => self.program(1),
        }
    }

    fn some(&mut self, most: usize, depth: usize) -> Vec<Shared> {
        let count = 1 + self.random.below(most);
        (0..count).map(|_| self.program(depth)).collect()
    }

    fn custom(&mut self) -> CustomPlan {
        match self.random.below(3) {
            0 => CustomPlan::Run,
            1 => CustomPlan::PolledByHand,
            _ => CustomPlan::Request,
        }
    }

    fn group(&mut self, depth: usize) -> GroupPlan {
        let children = 1 + self.random.below(4);
        GroupPlan {
            timeout: self.random.maybe(4, Random::milliseconds),
            limit: self.random.maybe(3, |random| 1 + random.below(2)),
            grace: self.random.maybe(3, Random::milliseconds),
            goes_on: self.random.one_in(3),
            children: (0..children).map(|_| self.child(depth)).collect(),
            items: if self.random.one_in(3) {
                self.some(3, depth.min(1))
            } else {
                Vec::new()
            },
            in_order: self.random.one_in(2),
            body: self.program(depth.min(1)),
            end: match self.random.below(8) {
                0..=4 => GroupEnd::Run,
                5 => GroupEnd::RunLeft(1 + self.random.below(3)),
                6 => GroupEnd::DroppedUnused,
                _ => GroupEnd::RunTwice,
            },
        }
    }

    fn child(&mut self, depth: usize) -> (ChildSort, HandleFate, Shared) {
        let sort = match self.random.below(8) {
            0..=1 => ChildSort::Child,
            2 => ChildSort::Named,
            3..=4 => ChildSort::Parallel,
            5 => ChildSort::Daemon,
            _ => ChildSort::Finalizer,
        };
        let program = if matches!(sort, ChildSort::Finalizer) {
            self.short()
        } else {
            self.program(depth)
        };
        let fate = match self.random.below(6) {
            0..=1 => HandleFate::Dropped,
            2 => HandleFate::Awaited,
            3 => HandleFate::AwaitedAfterTheGroup,
            4 => HandleFate::Cancelled,
            _ => HandleFate::CancelledInTheBody,
        };
        (sort, fate, program)
    }

    fn race(&mut self, depth: usize) -> RacePlan {
        let count = 1 + self.random.below(4);
        let candidates = (0..count).map(|_| {
            let start = match self.random.below(4) {
                0 => Start::After(self.random.milliseconds()),
                1 => Start::OnFailure,
                _ => Start::Now,
            };
            let limit = self.random.maybe(4, Random::milliseconds);
            (start, limit, self.program(depth))
        });
        RacePlan {
            candidates: candidates.collect(),
            timeout: self.random.maybe(4, Random::milliseconds),
            refuses: self.random.one_in(4),
            fatal: self.random.one_in(4),
            first_completed: self.random.one_in(4),
        }
    }

    fn lazy(&mut self) -> LazyPlan {
        match self.random.below(8) {
            0..=2 => LazyPlan::Gets,
            3 => LazyPlan::Refreshes,
            4 => LazyPlan::Resets,
            5 => LazyPlan::Sets,
            6 => LazyPlan::Carried,
            _ => LazyPlan::CarriedAndDropped,
        }
    }

    fn pool(&mut self) -> PoolPlan {
        PoolPlan {
            call: match self.random.below(3) {
                0 => PoolCallPlan::Run,
                1 => PoolCallPlan::RunWith,
                _ => PoolCallPlan::TryRun,
            },
            closure: match self.random.below(4) {
                0 => ClosurePlan::Returns,
                1 => ClosurePlan::Sleeps,
                2 => ClosurePlan::Panics,
                _ => ClosurePlan::MakesWork,
            },
            left: self.random.maybe(3, |random| 1 + random.below(2)),
        }
    }

    fn background(&mut self) -> BackgroundPlan {
        BackgroundPlan {
            spawn: match self.random.below(7) {
                0..=1 => BackgroundSpawn::Future,
                2..=3 => BackgroundSpawn::Closure,
                4..=5 => BackgroundSpawn::Fallible,
                _ => BackgroundSpawn::Every,
            },
            timeout: self.random.maybe(4, Random::milliseconds),
            unique: self.random.one_in(4),
            attempts: 1 + self.random.below(3) as u32,
            handle: match self.random.below(4) {
                0 => BackgroundHandle::Dropped,
                1 => BackgroundHandle::Awaited,
                2 => BackgroundHandle::Cancelled,
                _ => BackgroundHandle::Scoped,
            },
        }
    }
}
