//! How the last minute was.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nexios::CancelReason;

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
    cancels: Vec<Cancels>,
}

/// Kinds of cancelled requests that a part tells apart.
const CANCELS: usize = 16;

/// Requests of one route that were cancelled for one reason.
#[derive(Debug, Clone)]
pub(super) struct Cancels {
    pub(super) route: Box<str>,
    pub(super) reason: CancelReason,
    pub(super) count: u32,
    /// All together, until they were cancelled.
    pub(super) took: Duration,
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
            cancels: Vec::new(),
        };
        Self(Mutex::new(vec![part; PARTS].into()))
    }

    /// A request took so long.
    pub(super) fn took(&self, took: Duration, now: Moment) {
        with_part(&mut self.lock(), now, |part| part.cells[cell(took)] += 1);
    }

    /// A request was cancelled after so long.
    pub(super) fn cancelled(
        &self,
        route: &str,
        reason: Option<CancelReason>,
        took: Duration,
        now: Moment,
    ) {
        with_part(&mut self.lock(), now, |part| {
            part.cancelled += 1;
            if let Some(reason) = reason {
                add(&mut part.cancels, route, reason, 1, took);
            }
        });
    }

    /// The cancelled requests of the minute by route and reason, most first.
    pub(super) fn cancels(&self, now: Moment) -> Vec<Cancels> {
        let mut all = Vec::new();
        let current = number(now);
        for part in self.lock().iter().filter(|part| is_recent(part, current)) {
            for cancels in &part.cancels {
                let Cancels { count, took, .. } = *cancels;
                add(&mut all, &cancels.route, cancels.reason, count, took);
            }
        }
        all.sort_by(|a, b| (b.count, &a.route).cmp(&(a.count, &b.route)));
        all
    }

    /// A pool has refused a job.
    pub(super) fn shed(&self, now: Moment) {
        with_part(&mut self.lock(), now, |part| part.shed += 1);
    }

    pub(super) fn numbers(&self, now: Moment) -> Numbers {
        let parts = self.lock().clone();
        let current = number(now);
        let recent = parts.iter().filter(|part| is_recent(part, current));
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

fn is_recent(part: &Part, current: u64) -> bool {
    part.number + PARTS as u64 > current
}

fn add(all: &mut Vec<Cancels>, route: &str, reason: CancelReason, count: u32, took: Duration) {
    let known = all
        .iter_mut()
        .find(|cancels| *cancels.route == *route && cancels.reason == reason);
    if let Some(known) = known {
        known.count = known.count.saturating_add(count);
        known.took = known.took.saturating_add(took);
    } else if all.len() < CANCELS {
        all.push(Cancels {
            route: route.into(),
            reason,
            count,
            took,
        });
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
            cancels: Vec::new(),
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
        let left = CancelReason::ClientDisconnected;
        minute.cancelled("GET /", Some(left), Duration::from_secs(1), at(10));
        let numbers = minute.numbers(at(99));
        assert_eq!((numbers.shed, numbers.cancelled), (60, 0));
        assert!(numbers.p99.is_some_and(
            |p99| p99 >= Duration::from_millis(100) && p99 <= Duration::from_millis(113)
        ));
        assert_eq!(minute.numbers(at(300)), Numbers::default());
    }

    #[test]
    fn the_cancelled_are_told_by_route_and_reason_for_a_minute_and_of_a_crowd_some() {
        let minute = Minute::new();
        let left = Some(CancelReason::ClientDisconnected);
        for route in ["GET /", "GET /a", "GET /"] {
            minute.cancelled(route, left, Duration::from_secs(1), at(10));
        }
        let told = minute.cancels(at(60)).into_iter();
        let told: Vec<_> = told
            .map(|told| (told.route, told.count, told.took))
            .collect();
        let two = ("GET /".into(), 2, Duration::from_secs(2));
        assert_eq!(told, [two, ("GET /a".into(), 1, Duration::from_secs(1))]);
        assert!(minute.cancels(at(99)).is_empty());
        for number in 0..1_000 {
            minute.cancelled(&format!("GET /{number}"), left, Duration::ZERO, at(100));
        }
        assert_eq!(minute.cancels(at(100)).len(), CANCELS);
        assert_eq!(minute.numbers(at(100)).cancelled, 1_000);
    }

    #[test]
    fn nothing_is_too_long_to_count() {
        let minute = Minute::new();
        minute.took(Duration::MAX, at(1));
        assert!(minute.numbers(at(1)).p50.is_some());
    }
}
