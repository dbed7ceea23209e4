//! The sequential model of a cell, and the search for an order that explains a history.

use std::{collections::HashSet, sync::Arc};

use nexios::LazyError;

use super::SET;

/// A small generator of random numbers (xorshift64*), the same on every machine.
pub(in super::super) struct Random(u64);

impl Random {
    pub(in super::super) fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(in super::super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Get(u64),
    Refresh(u64),
    /// A refresh whose caller left: it may have brought any value, or none.
    RefreshLeft,
    Set(u64),
    Reset,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) begun: u64,
    pub(super) ended: u64,
    pub(super) kind: Kind,
}

#[derive(Debug, Default)]
pub(super) struct History {
    calls: Vec<Call>,
    /// True if the value may vanish at any time, by an eviction.
    forgetful: bool,
}

impl History {
    pub(super) fn new(forgetful: bool) -> Self {
        Self {
            forgetful,
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, call: Call) {
        self.calls.push(call);
    }

    pub(super) fn append(&mut self, other: Self) {
        self.calls.extend(other.calls);
    }

    /// Adds an answered call; an error changes nothing and needs no explanation.
    pub(super) fn answered(
        &mut self,
        begun: u64,
        ended: u64,
        refresh: bool,
        answer: &Result<Arc<u64>, LazyError<()>>,
    ) {
        match answer {
            Ok(value) => {
                let kind = if refresh {
                    Kind::Refresh(**value)
                } else {
                    Kind::Get(**value)
                };
                self.push(Call { begun, ended, kind });
            }
            Err(LazyError::Failed(_)) => {}
            Err(other) => panic!("no computation ends as {other:?}"),
        }
    }

    /// Adds a call whose caller left; a `get` that nobody saw the end of needs no explanation.
    pub(super) fn left(&mut self, begun: u64, refresh: bool) {
        if refresh {
            self.push(Call {
                begun,
                ended: u64::MAX,
                kind: Kind::RefreshLeft,
            });
        }
    }

    /// Says why the history cannot be explained, given when each computation began.
    pub(super) fn check(&self, began: &[u64]) -> Result<(), String> {
        self.check_beginnings(began)?;
        let all: Vec<usize> = (0..self.calls.len()).collect();
        if self.explain(&all, &State::default(), &mut HashSet::new()) {
            Ok(())
        } else {
            Err("no order of the calls explains the answers".into())
        }
    }

    /// A call that began after a `reset` or `set` ended sees nothing whose computation began before it.
    fn check_beginnings(&self, began: &[u64]) -> Result<(), String> {
        for call in &self.calls {
            let (Kind::Get(value) | Kind::Refresh(value)) = call.kind else {
                continue;
            };
            if let Some(set) = self
                .calls
                .iter()
                .find(|other| other.kind == Kind::Set(value))
            {
                if matches!(call.kind, Kind::Refresh(_)) && set.ended < call.begun {
                    return Err(format!("{call:?} brought what was set before"));
                }
                continue;
            }
            let computed = began[value as usize];
            for other in &self.calls {
                let overtakes = matches!(other.kind, Kind::Reset | Kind::Set(_));
                if overtakes && other.ended < call.begun && computed < other.begun {
                    return Err(format!("{call:?} saw a computation older than {other:?}"));
                }
            }
        }
        Ok(())
    }

    /// Tries every call that may come next in an order (Wing and Gong's search, with a memory of dead ends).
    fn explain(
        &self,
        left: &[usize],
        state: &State,
        dead: &mut HashSet<(Vec<usize>, State)>,
    ) -> bool {
        let answered = |index: &&usize| self.calls[**index].kind != Kind::RefreshLeft;
        if left.iter().filter(answered).count() == 0 {
            return true;
        }
        if !dead.insert((left.to_vec(), state.clone())) {
            return false;
        }
        let horizon = left
            .iter()
            .map(|index| self.calls[*index].ended)
            .min()
            .unwrap_or(u64::MAX);
        for &index in left
            .iter()
            .filter(|index| self.calls[**index].begun < horizon)
        {
            let rest: Vec<usize> = left
                .iter()
                .copied()
                .filter(|other| *other != index)
                .collect();
            for next in state.after(
                self.calls[index].kind,
                self.largest_computed(),
                self.forgetful,
            ) {
                if self.explain(&rest, &next, dead) {
                    return true;
                }
            }
        }
        false
    }

    fn largest_computed(&self) -> u64 {
        let values = self.calls.iter().filter_map(|call| match call.kind {
            Kind::Get(value) | Kind::Refresh(value) if value < SET => Some(value + 1),
            _ => None,
        });
        values.max().unwrap_or(0)
    }
}

/// The cell as one caller at a time would see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    value: Option<u64>,
    /// Computed values that were there; none comes twice.
    seen: Vec<u64>,
}

impl State {
    /// The states that a call may lead to; none when its answer is impossible.
    fn after(&self, kind: Kind, computed: u64, forgetful: bool) -> Vec<Self> {
        match kind {
            Kind::Set(value) => vec![Self {
                value: Some(value),
                seen: self.seen.clone(),
            }],
            Kind::Reset => vec![Self {
                value: None,
                seen: self.seen.clone(),
            }],
            Kind::Get(value) | Kind::Refresh(value) if self.value == Some(value) => {
                vec![self.clone()]
            }
            Kind::Get(value) if self.value.is_none() || forgetful => {
                self.compute(value).into_iter().collect()
            }
            Kind::Get(_) => Vec::new(),
            Kind::Refresh(value) => self.compute(value).into_iter().collect(),
            Kind::RefreshLeft => (0..computed)
                .filter_map(|value| self.compute(value))
                .collect(),
        }
    }

    fn compute(&self, value: u64) -> Option<Self> {
        if value >= SET || self.seen.contains(&value) {
            return None;
        }
        let mut seen = self.seen.clone();
        seen.push(value);
        seen.sort_unstable();
        Some(Self {
            value: Some(value),
            seen,
        })
    }
}
