//! Tests of `hedge`.
