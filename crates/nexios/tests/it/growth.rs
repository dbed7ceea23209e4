//! How the cost of something grows with the number of its parts.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often the same is measured; the fastest counts.
const ROUNDS: usize = 3;
/// Both numbers differ by this factor.
const TIMES: usize = 8;
/// What the cost may differ by. Linear is eight; a larger number leaves the caches of the processor.
const MOST: u32 = 28;
/// Below that it is the clock that is measured.
const LEAST: Duration = Duration::from_micros(200);

/// What this thread has used of a processor: others on the machine do not count.
fn used() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::from_secs(used.tv_sec.unsigned_abs())
        + Duration::from_nanos(used.tv_nsec.unsigned_abs())
}

fn fastest<P>(n: usize, prepare: &dyn Fn(usize) -> P, work: &dyn Fn(P)) -> Duration {
    let round = |_| {
        let prepared = prepare(n);
        let before = used();
        work(prepared);
        used() - before
    };
    (0..ROUNDS).map(round).fold(Duration::MAX, Duration::min)
}

/// Fails if `work`, which runs on this thread, costs much more than eight times as much for `8 * n` as for `n`.
#[track_caller]
pub(crate) fn assert_linear<P>(
    what: &str,
    n: usize,
    prepare: impl Fn(usize) -> P,
    work: impl Fn(P),
) {
    let few = fastest(n, &prepare, &work);
    let many = fastest(n * TIMES, &prepare, &work);
    assert!(
        many < few.max(LEAST) * MOST,
        "{what}: {n} take {few:?}, {} take {many:?}",
        n * TIMES
    );
}
