use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};

use super::label::Value;

/// Values of one label.
const MOST: usize = 200;
/// Values of two labels together, where each has its own bound and a number is kept for each pair.
const MOST_PAIRS: usize = 1_000;
/// What the rest is called.
const OTHER: Value = Value::Fixed("_other");
/// Bytes of a value: a name is written for people.
const LONGEST: usize = 200;

/// The values of one label that have come so far.
#[derive(Default)]
pub(super) struct Names(RwLock<HashSet<Arc<str>>>);

impl Names {
    /// The same text as a value, or `_other` where there are enough.
    pub(super) fn value(&self, name: &str) -> Value {
        let name = short(name);
        // The set is whole after every single step.
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(name) {
            return Value::Given(name.clone());
        }
        if names.len() >= MOST {
            return OTHER;
        }
        drop(names);
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(name) {
            return Value::Given(name.clone());
        }
        if names.len() >= MOST {
            return OTHER;
        }
        let name: Arc<str> = name.into();
        names.insert(name.clone());
        Value::Given(name)
    }

    /// All of them, with `_other` where there may be further ones.
    pub(super) fn all(&self) -> Vec<Value> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = names.iter().cloned().map(Value::Given).collect();
        if all.len() >= MOST {
            all.push(OTHER);
        }
        all
    }
}

/// The values of two labels that come together.
#[derive(Default)]
pub(super) struct Pairs {
    first: Names,
    second: Names,
    pairs: RwLock<HashSet<(Value, Value)>>,
}

impl Pairs {
    pub(super) fn first_alone(&self, first: &str) -> Value {
        self.first.value(first)
    }

    pub(super) fn second_alone(&self, second: &str) -> Value {
        self.second.value(second)
    }

    pub(super) fn values(&self, first: &str, second: &str) -> (Value, Value) {
        let second = if second.is_empty() {
            Value::NONE
        } else {
            self.second.value(second)
        };
        let pair = (self.first.value(first), second);
        let pairs = self.pairs.read().unwrap_or_else(PoisonError::into_inner);
        if pairs.contains(&pair) {
            return pair;
        }
        drop(pairs);
        let mut pairs = self.pairs.write().unwrap_or_else(PoisonError::into_inner);
        if pairs.len() >= MOST_PAIRS {
            return (OTHER, OTHER);
        }
        pairs.insert(pair.clone());
        pair
    }
}

/// The beginning of a name.
fn short(name: &str) -> &str {
    let end = (0..=LONGEST.min(name.len()))
        .rev()
        .find(|&end| name.is_char_boundary(end));
    &name[..end.unwrap_or(0)]
}
