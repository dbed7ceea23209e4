//! Tests of `race`.
