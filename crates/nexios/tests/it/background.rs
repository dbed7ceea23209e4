//! Tests of `background`.
