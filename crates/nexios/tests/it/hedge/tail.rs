//! The proof that hedging helps, and that a budget keeps it harmless: 100,000 calls of a service with a heavy
//! tail. Time is simulated, so the numbers are exact; `docs/hedging.md` shows them.

use std::{fmt::Write, sync::Mutex};

use nexios::{Delay, Hedge};
use tokio::time::{Instant, sleep};

use crate::race::{Xorshift, ms};

const CALLS: usize = 100_000;
/// How many times slower the service gets as a whole.
const SLOWDOWN: u64 = 10;
const PAGE: &str = include_str!("../../../docs/hedging.md");

/// A service whose answers take 4 to 16 ms, 10 in the median; exactly one of every hundred takes 500.
struct Service {
    random: Xorshift,
    answers: u64,
    /// The place of the slow answer among the present hundred.
    slow: u64,
    factor: u64,
}

impl Service {
    fn new() -> Mutex<Self> {
        Mutex::new(Self {
            random: Xorshift(0x9E37_79B9_7F4A_7C15),
            answers: 0,
            slow: 0,
            factor: 1,
        })
    }

    /// How many milliseconds the next answer takes.
    fn next(&mut self) -> u64 {
        if self.answers.is_multiple_of(100) {
            self.slow = self.answers + self.random.below(100);
        }
        let usual = 4 + self.random.below(7) + self.random.below(7);
        let takes = if self.answers == self.slow {
            500
        } else {
            usual
        };
        self.answers += 1;
        takes * self.factor
    }
}

/// What callers see, and what the service has to do for it.
#[derive(Debug, PartialEq)]
struct Row {
    p50: u64,
    p99: u64,
    p999: u64,
    /// Attempts after the first of their call.
    extra: u64,
    suppressed: u64,
}

impl Row {
    fn extra_share(&self) -> f64 {
        self.extra as f64 / CALLS as f64
    }
}

/// One caller after another.
async fn calls(hedge: &Hedge, service: &Mutex<Service>) -> Row {
    let before = hedge.stats();
    let mut took = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = Instant::now();
        let answer = hedge.run(|_| async {
            let takes = service.lock().expect("nobody panics while drawing").next();
            sleep(ms(takes)).await;
            Ok::<_, ()>(())
        });
        assert!(answer.await.is_ok());
        took.push(begun.elapsed().as_millis() as u64);
    }
    took.sort_unstable();
    // What so many calls stay below, and the rest reach.
    let reached = |per_mille: usize| took[CALLS / 1_000 * per_mille];
    let after = hedge.stats();
    Row {
        p50: reached(500),
        p99: reached(990),
        p999: reached(999),
        extra: after.hedges_started - before.hedges_started,
        suppressed: after.hedges_suppressed - before.hedges_suppressed,
    }
}

/// The usual service, then the slow one, with the same policy.
async fn both(hedge: Hedge) -> [Row; 2] {
    let service = Service::new();
    let usual = calls(&hedge, &service).await;
    service.lock().expect("nobody panics while drawing").factor = SLOWDOWN;
    [usual, calls(&hedge, &service).await]
}

fn line(table: &mut String, who: &str, row: &Row) {
    let Row {
        p50,
        p99,
        p999,
        extra,
        suppressed,
    } = row;
    let share = 100.0 * row.extra_share();
    writeln!(
        table,
        "| {who} | {p50} ms | {p99} ms | {p999} ms | {extra} ({share:.2} %) | {suppressed} |"
    )
    .expect("a string has room");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_cuts_the_tail_and_its_budget_holds_when_everything_is_slow() {
    let at_20_ms = || Hedge::builder().delay(Delay::Fixed(ms(20)));
    let none = both(
        Hedge::builder()
            .max_attempts(1)
            .delay(Delay::OnFailureOnly)
            .build(),
    )
    .await;
    let fixed = both(at_20_ms().build()).await;
    let limited = both(at_20_ms().budget(0.05).build()).await;
    let learned = both(
        Hedge::builder()
            .delay(Delay::Percentile(0.95))
            .budget(0.05)
            .build(),
    )
    .await;

    let rows = [
        ("no hedge", &none),
        ("after 20 ms", &fixed),
        ("after 20 ms, budget 5 %", &limited),
        ("95th percentile, budget 5 %", &learned),
    ];
    for row in [&fixed[0], &limited[0], &learned[0]] {
        assert!(
            row.p99 * 20 <= none[0].p99 && row.p999 * 10 <= none[0].p999,
            "{row:?}"
        );
        assert!(
            row.extra_share() < 0.02,
            "about one in a hundred is slow: {row:?}"
        );
    }
    assert!(
        fixed[1].extra_share() > 0.9,
        "without a budget the load doubles: {:?}",
        fixed[1]
    );
    for row in [&limited[1], &learned[1]] {
        // The bucket keeps a hundred at most from before.
        assert!(row.extra <= CALLS as u64 / 20 + 100, "{row:?}");
        assert_eq!(row.p50, none[1].p50, "{row:?}");
    }
    assert!(limited[1].suppressed > CALLS as u64 / 2, "{:?}", limited[1]);

    for place in 0..2 {
        let mut table = String::new();
        rows.iter()
            .for_each(|(who, both)| line(&mut table, who, &both[place]));
        assert!(
            PAGE.contains(&table),
            "docs/hedging.md shows other numbers than these:\n{table}"
        );
    }
}
