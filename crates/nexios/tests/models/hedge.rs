//! The shared parts of a hedge: budget, latencies, statistics.

use nexios::{Delay, Hedge};
use shuttle::{future::block_on, thread};

use crate::check::check;

/// Calls from three threads at once, each so many.
fn from_three_threads(hedge: &Hedge, calls: usize, call: fn(&Hedge)) {
    let threads = [(); 3].map(|()| {
        let hedge = hedge.clone();
        thread::spawn(move || (0..calls).for_each(|_| call(&hedge)))
    });
    for thread in threads {
        thread.join().expect("no panic");
    }
}

/// Without a delay every attempt starts at once, if there is a token for it.
fn hedged(hedge: &Hedge) {
    let answer =
        hedge.run(|attempt| async move { if attempt.number == 1 { Err(()) } else { Ok(()) } });
    block_on(answer).expect("the second attempt succeeds");
}

#[test]
fn no_token_is_spent_twice() {
    check(|| {
        // Ten tokens, and nothing comes in.
        let hedge = Hedge::builder().delay(Delay::Zero).budget(0.0).build();
        let quick = |hedge: &Hedge| {
            let answer = hedge.run(|_| async { Ok::<_, ()>(()) });
            block_on(answer).expect("it succeeds");
        };
        from_three_threads(&hedge, 4, quick);
        let stats = hedge.stats();
        assert_eq!(
            (stats.calls, stats.hedges_started, stats.hedges_suppressed),
            (12, 10, 2)
        );
    });
}

#[test]
fn no_share_of_a_token_is_lost() {
    check(|| {
        let hedge = Hedge::builder().delay(Delay::Zero).budget(0.5).build();
        let quick = |hedge: &Hedge| {
            let answer = hedge.run(|_| async { Ok::<_, ()>(()) });
            block_on(answer).expect("it succeeds");
        };
        // Ten tokens and 24 halves are exactly enough for 22; when they come is a matter of the schedule.
        from_three_threads(&hedge, 8, quick);
        let stats = hedge.stats();
        assert_eq!(stats.hedges_started + stats.hedges_suppressed, 24);
        // What is left is spent now, by calls that each bring a half and want one.
        let mut left = 0;
        let before = stats.hedges_started;
        while hedge.stats().hedges_suppressed == stats.hedges_suppressed {
            quick(&hedge);
            left += 1;
            assert!(left < 64, "the budget never ends");
        }
        let started = hedge.stats().hedges_started;
        // Balance: 10 + (24 + left) / 2 tokens came in, less than one is left.
        let halves = 20 + 24 + left - 2 * started;
        assert!(
            halves < 2,
            "{halves} halves are left, {before} were started before"
        );
    });
}

#[test]
fn a_snapshot_never_shows_more_ends_than_starts() {
    check(|| {
        let hedge = Hedge::builder().delay(Delay::Zero).build();
        let seen = hedge.clone();
        let observer = thread::spawn(move || {
            for _ in 0..4 {
                let stats = seen.stats();
                assert!(
                    stats.hedges_won + stats.hedges_wasted <= stats.hedges_started,
                    "{stats:?}"
                );
            }
        });
        from_three_threads(&hedge, 2, hedged);
        observer.join().expect("no panic");
        let stats = hedge.stats();
        assert_eq!(
            (
                stats.calls,
                stats.hedges_started,
                stats.hedges_won,
                stats.hedges_wasted
            ),
            (6, 6, 6, 0)
        );
    });
}

/// Two decays at the same time would take the same counts away twice, below zero.
#[test]
fn one_thread_at_a_time_lets_latencies_fade() {
    check(|| {
        // Never warm, so that there is no delay: a model has no clock.
        let hedge = Hedge::builder()
            .delay(Delay::Percentile(0.5))
            .warm_up(u64::MAX)
            .build();
        from_three_threads(&hedge, 3, |hedge| {
            let answer = hedge.run(|_| async { Ok::<_, ()>(()) });
            block_on(answer).expect("it succeeds");
        });
        assert_eq!(hedge.stats().current_delay, None);
    });
}
