//! The threads of a pool.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::{
    schedule::{Schedule, Seat},
    shared::Shared,
};
use crate::sync::{Condvar, MutexGuard};

/// How long an overflow thread without work stays for the next.
const OVERFLOW_LINGERS: Duration = Duration::from_secs(10);

/// The life of one thread.
pub(super) fn run(pool: &Arc<Shared>, seat: Seat) {
    let mut next = None;
    let mut in_a_row = 0_usize;
    // Only after a run of jobs: a lone caller's next job is too far away, and the wait would delay the caller.
    while let Some(job) = next.take().or_else(|| pool.next(seat, std::mem::take(&mut in_a_row) > 1)) {
        in_a_row += 1;
        next = pool.execute(job, seat);
    }
}

/// Sleeps until called, for a limited time if the thread is not a regular one; true when that has passed.
pub(super) fn sleep<'s>(
    condvar: &Condvar,
    schedule: MutexGuard<'s, Schedule>,
    seat: Seat,
) -> (MutexGuard<'s, Schedule>, bool) {
    if seat == Seat::Overflow {
        let slept = condvar.wait_timeout(schedule, OVERFLOW_LINGERS);
        let (schedule, result) = slept.unwrap_or_else(PoisonError::into_inner);
        (schedule, result.timed_out())
    } else {
        (condvar.wait(schedule).unwrap_or_else(PoisonError::into_inner), false)
    }
}
