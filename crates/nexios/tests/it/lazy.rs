//! Tests of `lazy`.
