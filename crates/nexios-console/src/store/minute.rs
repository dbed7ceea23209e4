//! How the last minute was.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::moment::Moment;

/// The minute in parts, of which the oldest is forgotten as a whole.
const PARTS: usize = 12;
const SECONDS: u64 = 60 / PARTS as u64;

/// Each power of two of microseconds in eight steps, so a percentile is an eighth too high at most. Up to 2^36 us, 19 hours.
const STEPS: usize = 8;
const CELLS: usize = 34 * STEPS;

#[derive(Debug, Clone)]
struct Part {
    /// Its number since the store was made.
    number: u64,
    cells: [u32; CELLS],
    cancelled: u64,
    shed: u64,
}

#[derive(Debug)]
pub(super) struct Minute(Mutex<Box<[Part]>>);

#[derive(Debug, Default, PartialEq)]
pub(super) struct Numbers {
    pub(super) p50: Option<Duration>,
    pub(super) p99: Option<Duration>,
    pub(super) cancelled: u64,
    pub(super) shed: u64,
}

impl Minute {
    pub(super) fn new() -> Self {
        let part = Part {
            number: 0,
            cells: [0; CELLS],
            cancelled: 0,
            shed: 0,
        };
        Self(Mutex::new(vec![part; PARTS].into()))
    }

    /// A request took so long.
    pub(super) fn took(&self, took: Duration, now: Moment) {
        with_part(&mut self.lock(), now, |part| part.cells[cell(took)] += 1);
    }

    /// A request was cancelled.
    pub(super) fn cancelled(&self, now: Moment) {
        with_part(&mut self.lock(), now, |part| part.cancelled += 1);
    }

    /// A pool has refused a job.
    pub(super) fn shed(&self, now: Moment) {
        with_part(&mut self.lock(), now, |part| part.shed += 1);
    }

    pub(super) fn numbers(&self, now: Moment) -> Numbers {
        let parts = self.lock().clone();
        let current = number(now);
        let recent = parts
            .iter()
            .filter(|part| part.number + PARTS as u64 > current);
        let mut sums = [0_u64; CELLS];
        let mut numbers = Numbers::default();
        for part in recent {
            numbers.cancelled += part.cancelled;
            numbers.shed += part.shed;
            sums.iter_mut()
                .zip(part.cells)
                .for_each(|(sum, count)| *sum += u64::from(count));
        }
        numbers.p50 = percentile(&sums, 50);
        numbers.p99 = percentile(&sums, 99);
        numbers
    }

    fn lock(&self) -> MutexGuard<'_, Box<[Part]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(now: Moment) -> u64 {
    now.second() / SECONDS
}

fn with_part(parts: &mut [Part], now: Moment, change: impl FnOnce(&mut Part)) {
    let number = number(now);
    let part = &mut parts[number as usize % PARTS];
    if part.number < number {
        *part = Part {
            number,
            cells: [0; CELLS],
            cancelled: 0,
            shed: 0,
        };
    }
    // Over a minute late, if it is of a later one.
    if part.number == number {
        change(part);
    }
}

fn cell(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if micros < STEPS as u64 {
        return micros as usize;
    }
    let power = micros.ilog2();
    let step = (micros >> (power - STEPS.ilog2())) as usize - STEPS;
    ((power - STEPS.ilog2() + 1) as usize * STEPS + step).min(CELLS - 1)
}

/// The upper bound of a cell.
fn bound(cell: usize) -> Duration {
    if cell < STEPS {
        return Duration::from_micros(cell as u64 + 1);
    }
    let (power, step) = (cell / STEPS - 1, cell % STEPS);
    Duration::from_micros(((STEPS + step + 1) as u64) << power)
}

fn percentile(cells: &[u64; CELLS], percent: u64) -> Option<Duration> {
    let total: u64 = cells.iter().sum();
    let rank = (total * percent).div_ceil(100);
    let mut seen = 0;
    let position = cells.iter().position(|count| {
        seen += count;
        rank > 0 && seen >= rank
    });
    position.map(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_percentile_is_an_eighth_too_high_at_most() {
        for micros in (0..5_000_000).step_by(1013) {
            let took = Duration::from_micros(micros);
            let bound = bound(cell(took));
            assert!(
                bound > took && bound.as_micros() as u64 <= micros + micros / 8 + 1,
                "{micros}: {bound:?}"
            );
        }
    }

    #[test]
    fn what_is_over_a_minute_ago_is_forgotten() {
        let minute = Minute::new();
        for second in 0..100 {
            minute.took(Duration::from_millis(100), at(second));
            minute.shed(at(second));
        }
        minute.cancelled(at(10));
        let numbers = minute.numbers(at(99));
        assert_eq!((numbers.shed, numbers.cancelled), (60, 0));
        assert!(numbers.p99.is_some_and(
            |p99| p99 >= Duration::from_millis(100) && p99 <= Duration::from_millis(113)
        ));
        assert_eq!(minute.numbers(at(300)), Numbers::default());
    }

    #[test]
    fn nothing_is_too_long_to_count() {
        let minute = Minute::new();
        minute.took(Duration::MAX, at(1));
        assert!(minute.numbers(at(1)).p50.is_some());
    }
}
