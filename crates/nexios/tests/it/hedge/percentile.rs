//! What a percentile delay learns from calls.

use std::time::Duration;

use nexios::{Delay, Hedge};
use tokio::time::timeout;

use super::{call, counts, script};
use crate::race::{Log, ms};

fn percentile(share: f64) -> Hedge {
    Hedge::builder()
        .max_attempts(2)
        .delay(Delay::Percentile(share))
        .build()
}

fn near(delay: Option<Duration>, millis: u64) -> bool {
    delay.is_some_and(|delay| delay >= ms(millis) && delay <= ms(millis).mul_f64(1.125))
}

/// HG-008: 25 quick calls, then one of 200 ms: exactly one hedge.
#[tokio::test(start_paused = true)]
async fn a_call_slower_than_usual_is_hedged_once() {
    let hedge = percentile(0.95);
    for _ in 0..25 {
        call(&hedge, 10).await;
    }
    assert_eq!(counts(&hedge.stats()), [25, 0, 0, 0]);
    assert!(near(hedge.stats().current_delay, 10));
    let log = Log::new();
    assert_eq!(
        hedge
            .run(script(&log, [(200, Ok("slow")), (10, Ok("hedge"))]))
            .await
            .unwrap(),
        "hedge"
    );
    assert_eq!(
        log.starts(),
        ["0 1", "11 2"],
        "the delay is rounded up to the timer's millisecond"
    );
    assert_eq!(counts(&hedge.stats()), [26, 1, 1, 0]);
}

/// HG-001: answers from a cache take no time at all, and still a call that is answered at once has no hedge.
#[tokio::test(start_paused = true)]
async fn an_operation_that_answers_at_once_is_not_hedged() {
    let hedge = percentile(0.95);
    for _ in 0..100 {
        hedge.run(|_| async { Ok::<_, ()>(1) }).await.unwrap();
    }
    assert_eq!(counts(&hedge.stats()), [100, 0, 0, 0]);
    call(&hedge, 50).await;
    assert_eq!(counts(&hedge.stats()), [101, 1, 0, 0], "a slow one has");
}

#[tokio::test(start_paused = true)]
async fn there_is_no_hedge_before_twenty_answers() {
    let hedge = percentile(0.5);
    for _ in 0..19 {
        call(&hedge, 10).await;
    }
    call(&hedge, 500).await;
    assert_eq!(counts(&hedge.stats()), [20, 0, 0, 0]);
    assert!(
        near(hedge.stats().current_delay, 10),
        "now there are twenty"
    );
    call(&hedge, 500).await;
    assert_eq!(counts(&hedge.stats()), [21, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_warm_up_can_be_set() {
    let hedge = Hedge::builder()
        .delay(Delay::Percentile(0.5))
        .warm_up(2)
        .build();
    call(&hedge, 10).await;
    assert_eq!(hedge.stats().current_delay, None);
    call(&hedge, 10).await;
    assert!(near(hedge.stats().current_delay, 10));
    let hedge = Hedge::builder()
        .delay(Delay::Percentile(0.5))
        .warm_up(0)
        .build();
    assert_eq!(
        hedge.stats().current_delay,
        None,
        "without any answer there is nothing to go by"
    );
}

/// During the warm-up a failure still starts the next attempt.
#[tokio::test(start_paused = true)]
async fn failover_works_during_the_warm_up() {
    let log = Log::new();
    let hedge = percentile(0.95);
    assert_eq!(
        hedge
            .run(script(&log, [(5, Err("1")), (5, Ok("2"))]))
            .await
            .unwrap(),
        "2"
    );
    assert_eq!(log.starts(), ["0 1", "5 2"]);
}

/// Pitfall 3.3: callers who leave early do not make the operation look quick.
#[tokio::test(start_paused = true)]
async fn callers_who_leave_early_do_not_lower_it() {
    let hedge = percentile(0.95);
    for _ in 0..40 {
        call(&hedge, 100).await;
    }
    let before = hedge.stats().current_delay;
    assert!(near(before, 100));
    for _ in 0..1_500 {
        let left = hedge.run(|_| std::future::pending::<Result<(), ()>>());
        assert!(timeout(ms(5), left).await.is_err());
    }
    assert!(hedge.stats().current_delay >= before);
    call(&hedge, 100).await;
    assert_eq!(hedge.stats().hedges_started, 0);
}

/// Pitfall 3.3: callers who give up on something slow make it look at least that slow.
#[tokio::test(start_paused = true)]
async fn callers_who_give_up_late_raise_it() {
    let hedge = Hedge::builder()
        .max_attempts(1)
        .delay(Delay::Percentile(0.9))
        .build();
    for _ in 0..40 {
        call(&hedge, 10).await;
    }
    for _ in 0..20 {
        let left = hedge.run(|_| std::future::pending::<Result<(), ()>>());
        assert!(timeout(ms(400), left).await.is_err());
    }
    assert!(
        near(hedge.stats().current_delay, 400),
        "{:?}",
        hedge.stats()
    );
}

/// Pitfall 3.3: the slow primaries that hedges beat stay in the picture.
#[tokio::test(start_paused = true)]
async fn dropped_losers_count_as_at_least_so_slow() {
    let hedge = percentile(0.8);
    for _ in 0..40 {
        call(&hedge, 10).await;
    }
    let before = hedge.stats().current_delay.unwrap();
    let log = Log::new();
    for _ in 0..40 {
        let operation = script(&log, [(5_000, Ok("slow")), (50, Ok("hedge"))]);
        assert_eq!(hedge.run(operation).await.unwrap(), "hedge");
    }
    assert!(
        hedge.stats().current_delay.unwrap() > before + ms(40),
        "{:?}",
        hedge.stats()
    );
    assert_eq!(hedge.stats().hedges_won, 40);
}

/// Pitfall 3.3: quick errors do not make the operation look quick.
#[tokio::test(start_paused = true)]
async fn quick_failures_do_not_lower_it() {
    let hedge = percentile(0.95);
    for _ in 0..40 {
        call(&hedge, 100).await;
    }
    let before = hedge.stats().current_delay;
    let log = Log::new();
    for _ in 0..800 {
        let failed = hedge
            .run(script(&log, [(1, Err("1")), (1, Err("2"))]))
            .await;
        assert!(failed.is_err());
    }
    assert!(hedge.stats().current_delay >= before);
}

/// M: many calls from many threads; the numbers add up.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_statistics_add_up_under_load() {
    let hedge = Hedge::builder()
        .max_attempts(3)
        .delay(Delay::Percentile(0.5))
        .budget(0.5)
        .warm_up(1)
        .build();
    let calls = (0..8).map(|task| {
        let hedge = hedge.clone();
        tokio::spawn(async move {
            let mut later_wins = 0;
            for round in 0..500_usize {
                let answer = hedge.run(|attempt| async move {
                    for _ in 0..(round + task) % 3 {
                        tokio::task::yield_now().await;
                    }
                    if attempt.number == 1 && round % 5 == 0 {
                        Err(())
                    } else {
                        Ok(attempt.number)
                    }
                });
                later_wins += u64::from(answer.await.unwrap() > 1);
                let stats = hedge.stats();
                assert!(stats.hedges_won <= stats.hedges_started, "{stats:?}");
            }
            later_wins
        })
    });
    let mut later_wins = 0;
    for call in calls.collect::<Vec<_>>() {
        later_wins += call.await.unwrap();
    }
    let stats = hedge.stats();
    assert_eq!((stats.calls, stats.hedges_won), (4_000, later_wins));
    assert!(stats.hedges_won >= 800);
}
