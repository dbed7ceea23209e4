//! Which attempts start when, and which one wins.

use std::{
    cell::Cell,
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::FutureExt;
use nexios::{CancelReason, CancelScope, CancelToken, Delay, Failure, Hedge};
use tokio::time::{Instant, sleep, timeout};

use super::{counts, script};
use crate::race::{Log, busy, everywhere, kinds, ms};

fn fixed(attempts: usize, millis: u64) -> Hedge {
    Hedge::builder()
        .max_attempts(attempts)
        .delay(Delay::Fixed(ms(millis)))
        .build()
}

/// HG-001: quicker than the delay: one attempt, and the second future is never made.
#[tokio::test(start_paused = true)]
async fn a_quick_answer_starts_no_hedge() {
    let log = Log::new();
    let made = AtomicUsize::new(0);
    let hedge = fixed(3, 50);
    let answer = hedge
        .run(|attempt| {
            made.fetch_add(1, Ordering::SeqCst);
            assert_eq!(attempt.number, 1);
            log.work("1", 10, Ok::<_, ()>("first"))
        })
        .await;
    assert_eq!(answer.unwrap(), "first");
    assert_eq!(made.into_inner(), 1);
    assert_eq!(counts(&hedge.stats()), [1, 0, 0, 0]);
    assert_eq!((log.now(), log.live()), (10, 0));
}

/// HG-002: the primary takes 100 ms, the delay is 10 ms: the second attempt answers, three have started.
#[tokio::test(start_paused = true)]
async fn a_slow_primary_is_hedged_and_the_hedge_can_win() {
    let log = Log::new();
    let hedge = fixed(3, 10);
    let operation = script(
        &log,
        [(100, Ok("slow")), (15, Ok("hedge")), (100, Ok("third"))],
    );
    assert_eq!(hedge.run(operation).await.unwrap(), "hedge");
    assert_eq!(log.starts(), ["0 1", "10 2", "20 3"]);
    assert_eq!((log.now(), log.live()), (25, 0));
    assert_eq!(counts(&hedge.stats()), [1, 2, 1, 0]);
}

/// HG-046: the primary may still win although others run.
#[tokio::test(start_paused = true)]
async fn a_win_of_the_primary_is_not_a_hedge_win() {
    let log = Log::new();
    let hedge = fixed(3, 450);
    let operation = script(
        &log,
        [(1_000, Ok("primary")), (900, Ok("2")), (900, Ok("3"))],
    );
    assert_eq!(hedge.run(operation).await.unwrap(), "primary");
    assert_eq!(counts(&hedge.stats()), [1, 2, 0, 0]);
}

/// HG-004.
#[tokio::test(start_paused = true)]
async fn with_no_delay_all_start_at_once() {
    for delay in [Delay::Zero, Delay::Fixed(Duration::ZERO)] {
        let log = Log::new();
        let hedge = Hedge::builder().max_attempts(4).delay(delay).build();
        let operation = script(
            &log,
            [(40, Ok("1")), (30, Ok("2")), (20, Ok("3")), (30, Ok("4"))],
        );
        assert_eq!(hedge.run(operation).await.unwrap(), "3");
        assert_eq!(log.starts(), ["0 1", "0 2", "0 3", "0 4"]);
        assert_eq!(counts(&hedge.stats()), [1, 3, 1, 0]);
        assert_eq!(hedge.stats().current_delay, Some(Duration::ZERO));
    }
}

/// HG-005: strictly one after the other.
#[tokio::test(start_paused = true)]
async fn on_failure_only_is_pure_failover() {
    for delay in [Delay::OnFailureOnly, Delay::Fixed(Duration::MAX)] {
        let log = Log::new();
        let hedge = Hedge::builder().max_attempts(4).delay(delay).build();
        let operation = script(
            &log,
            [
                (500, Err("1")),
                (300, Err("2")),
                (200, Ok("3")),
                (1, Ok("4")),
            ],
        );
        assert_eq!(hedge.run(operation).await.unwrap(), "3");
        assert_eq!(log.starts(), ["0 1", "500 2", "800 3"]);
        assert_eq!(counts(&hedge.stats()), [1, 2, 1, 0]);
    }
}

/// HG-043, HG-047, HG-030: a failure starts the next at once, later delays count from there.
#[tokio::test(start_paused = true)]
async fn a_failure_starts_the_next_attempt_at_once() {
    let log = Log::new();
    let hedge = fixed(4, 250);
    let operation = script(
        &log,
        [
            (100, Err("1")),
            (200, Err("2")),
            (1_000, Ok("3")),
            (50, Ok("4")),
        ],
    );
    assert_eq!(hedge.run(operation).await.unwrap(), "4");
    assert_eq!(log.starts(), ["0 1", "100 2", "300 3", "550 4"]);
}

/// HG-053, HG-048: all fail; every error is kept, and nobody claims a win.
#[tokio::test(start_paused = true)]
async fn when_all_attempts_fail_every_error_is_kept_and_no_win_counted() {
    let log = Log::new();
    let hedge = fixed(3, 10);
    let operation = script(&log, [(50, Err("a")), (5, Err("b")), (5, Err("c"))]);
    let lost = hedge.run(operation).await.unwrap_err();
    assert_eq!(
        kinds(&lost),
        ["attempt 1=failed", "attempt 2=failed", "attempt 3=failed"]
    );
    assert_eq!(
        lost.primary(),
        Some(&"a"),
        "the first attempt's error, though it came last"
    );
    assert_eq!((log.now(), log.live()), (50, 0));
    assert_eq!(counts(&hedge.stats()), [1, 2, 0, 0]);
}

/// RC-021: in a tie the earliest attempt wins.
#[tokio::test(start_paused = true)]
async fn in_a_tie_the_earliest_attempt_wins() {
    let log = Log::new();
    let hedge = fixed(2, 10);
    assert_eq!(
        hedge
            .run(script(&log, [(30, Ok("1")), (20, Ok("2"))]))
            .await
            .unwrap(),
        "1"
    );
    assert_eq!(counts(&hedge.stats()), [1, 1, 0, 0]);
}

/// HG-013, HG-018, HG-051: a caller who leaves takes every attempt along.
#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_drops_all_attempts() {
    let log = Log::new();
    let hedge = fixed(4, 10);
    let operation = script(
        &log,
        [
            (900, Ok("1")),
            (900, Ok("2")),
            (900, Ok("3")),
            (900, Ok("4")),
        ],
    );
    assert!(timeout(ms(35), hedge.run(operation)).await.is_err());
    assert_eq!(log.starts(), ["0 1", "10 2", "20 3", "30 4"]);
    assert_eq!((log.now(), log.live()), (35, 0));
    drop(hedge.run(script(
        &log,
        [
            (1, Ok("never polled")),
            (1, Ok("2")),
            (1, Ok("3")),
            (1, Ok("4")),
        ],
    )));
    assert_eq!(
        counts(&hedge.stats()),
        [1, 3, 0, 0],
        "a call that was never polled is no call"
    );
}

/// HG-018: the surrounding scope ends the call.
#[tokio::test(start_paused = true)]
async fn a_call_ends_with_its_scope() {
    let log = Log::new();
    let hedge = fixed(2, 10);
    let slow = || script(&log, [(900, Ok("1")), (900, Ok("2"))]);
    let scope = CancelScope::new(CancelToken::new(), Some(Instant::now() + ms(20)));
    let lost = scope
        .run(async { hedge.run(slow()).await })
        .await
        .unwrap_err();
    assert!(lost.is_timeout());
    assert_eq!(kinds(&lost), ["attempt 1=timed out", "attempt 2=timed out"]);

    let token = CancelToken::new();
    let scope = CancelScope::new(token.clone(), None);
    let (lost, ()) = tokio::join!(scope.run(async { hedge.run(slow()).await }), async {
        sleep(ms(5)).await;
        token.cancel(CancelReason::ClientDisconnected);
    });
    assert_eq!(
        kinds(&lost.unwrap_err()),
        ["attempt 1=cancelled", "attempt 2=not started"]
    );
    assert_eq!((log.now(), log.live()), (25, 0));

    let made = log.starts().len();
    let lost = scope
        .run(async { hedge.run(slow()).await })
        .await
        .unwrap_err();
    assert_eq!(
        kinds(&lost),
        ["attempt 1=not started", "attempt 2=not started"]
    );
    assert_eq!(
        log.starts().len(),
        made,
        "cancelled before the start, nothing starts"
    );
}

/// HG-026, RC-008: a panic of an attempt or of the closure that makes it drops the others and resumes.
#[tokio::test(start_paused = true)]
async fn a_panic_drops_the_others_and_resumes() {
    let log = Log::new();
    let hedge = fixed(2, 10);
    let attempt_panics = hedge.run(|attempt| {
        let slow = log.work("1", 900, Ok::<_, ()>("slow"));
        async move {
            if attempt.number == 2 {
                panic!("attempt")
            }
            slow.await
        }
    });
    let payload = AssertUnwindSafe(attempt_panics)
        .catch_unwind()
        .await
        .unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"attempt"));
    assert_eq!((log.now(), log.live()), (10, 0));

    let closure_panics = hedge.run(|attempt| {
        if attempt.number == 2 {
            panic!("closure")
        }
        log.work("1", 900, Ok::<_, ()>("slow"))
    });
    let payload = AssertUnwindSafe(closure_panics)
        .catch_unwind()
        .await
        .unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"closure"));
    assert_eq!((log.now(), log.live()), (20, 0));
    assert_eq!(hedge.stats().hedges_won, 0);
}

/// HG-039: the limits of the settings.
#[tokio::test(start_paused = true)]
async fn attempts_are_at_least_one_and_at_most_ten() {
    for (asked, got) in [(0, 1), (1, 1), (10, 10), (11, 10), (usize::MAX, 10)] {
        let hedge = Hedge::builder()
            .max_attempts(asked)
            .delay(Delay::Zero)
            .build();
        let lost = hedge
            .run(|attempt| async move { Err::<(), _>(attempt.number) })
            .await
            .unwrap_err();
        let numbers: Vec<_> = lost
            .into_failures()
            .into_iter()
            .map(|(name, failure)| match failure {
                Failure::Failed(number) => {
                    assert_eq!(name, format!("attempt {number}"));
                    number
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(numbers, (1..=got).collect::<Vec<_>>());
    }
}

/// HG-039: nonsense is refused where it is written, and named.
#[test]
fn nonsense_is_refused_and_named() {
    for nonsense in [f64::NAN, f64::INFINITY, -0.1, 1.000_1] {
        for (what, refused) in [
            (
                "budget",
                std::panic::catch_unwind(|| Hedge::builder().budget(nonsense)).err(),
            ),
            (
                "percentile",
                std::panic::catch_unwind(|| Hedge::builder().delay(Delay::Percentile(nonsense)))
                    .err(),
            ),
        ] {
            let payload = refused.expect("refused");
            let text = payload.downcast_ref::<String>().unwrap();
            assert!(
                text.contains(what) && text.ends_with(&format!("not {nonsense}")),
                "{text}"
            );
        }
    }
    for sense in [0.0, 0.05, 1.0] {
        let _ = Hedge::builder()
            .budget(sense)
            .delay(Delay::Percentile(sense))
            .build();
    }
}

/// HG-001, HG-046: what came of a hedge is known when its call is over, however it ends.
#[tokio::test(start_paused = true)]
async fn a_hedge_is_wasted_when_its_call_ends_without_its_win() {
    let hedge = fixed(3, 10);
    let log = Log::new();
    let ends =
        |stats: nexios::HedgeStats| (stats.hedges_started, stats.hedges_won, stats.hedges_wasted);
    let mut call = Box::pin(hedge.run(script(
        &log,
        [(100, Ok("1")), (100, Ok("2")), (15, Ok("3"))],
    )));
    assert!(timeout(ms(25), &mut call).await.is_err());
    assert_eq!(ends(hedge.stats()), (2, 0, 0), "both are under way");
    assert_eq!(call.await.unwrap(), "3");
    assert_eq!(
        ends(hedge.stats()),
        (2, 1, 1),
        "the second attempt was for nothing"
    );
    let lost = hedge
        .run(script(&log, [(1, Err("1")), (1, Err("2")), (1, Err("3"))]))
        .await;
    assert!(lost.is_err());
    assert_eq!(ends(hedge.stats()), (4, 1, 3));
    let left = hedge.run(script(
        &log,
        [(100, Ok("1")), (100, Ok("2")), (100, Ok("3"))],
    ));
    assert!(timeout(ms(15), left).await.is_err());
    assert_eq!(ends(hedge.stats()), (5, 1, 4), "its caller left");
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_policy() {
    let hedge = fixed(2, 10);
    let log = Log::new();
    let clone = hedge.clone();
    assert_eq!(
        clone
            .run(script(&log, [(50, Ok("1")), (1, Ok("2"))]))
            .await
            .unwrap(),
        "2"
    );
    assert_eq!(counts(&hedge.stats()), [1, 1, 1, 0]);
    assert!(format!("{hedge:?}").contains("hedges_won: 1"));
}

/// RS-007: `Send` without `Sync`: the closure moves with the call.
#[tokio::test(start_paused = true)]
async fn a_call_is_send_when_its_closure_is() {
    let hedge = fixed(2, 10);
    let made = Cell::new(0);
    let call = async move {
        hedge
            .run(move |attempt| {
                made.set(made.get() + 1);
                async move { Ok::<_, ()>(attempt.number) }
            })
            .await
    };
    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 1);
}

/// RS-007: attempts borrow from the caller.
#[tokio::test(start_paused = true)]
async fn attempts_borrow_from_the_caller() {
    let text = String::from("borrowed");
    let answer = fixed(2, 10).run(|_| async { Ok::<&str, ()>(&text) }).await;
    assert_eq!(answer.unwrap(), "borrowed");
}

#[test]
fn a_call_that_never_waits_for_a_delay_needs_no_runtime() {
    let hedge = Hedge::builder()
        .max_attempts(3)
        .delay(Delay::OnFailureOnly)
        .build();
    let answer =
        hedge.run(|attempt| async move { if attempt.number == 3 { Ok(3) } else { Err(()) } });
    assert_eq!(answer.now_or_never().unwrap().unwrap(), 3);
}

#[test]
fn an_attempt_has_its_turns_beside_one_that_is_always_ready() {
    everywhere(|| async {
        let began = std::time::Instant::now();
        let hedge = fixed(2, 20);
        let answer = hedge.run(|attempt| async move {
            if attempt.number == 1 {
                busy(ms(5_000)).await;
                return Err("busy");
            }
            sleep(ms(10)).await;
            Ok(attempt.number)
        });
        assert_eq!(answer.await.unwrap(), 2);
        assert!(began.elapsed() < ms(2_500), "{:?}", began.elapsed());
    });
}
