//! The budget suppresses new hedges and nothing else.

use nexios::{Delay, Hedge};

use super::{call, counts, script};
use crate::race::{Log, kinds, ms};

fn with_budget(share: f64, attempts: usize) -> Hedge {
    Hedge::builder()
        .max_attempts(attempts)
        .delay(Delay::Fixed(ms(10)))
        .budget(share)
        .build()
}

/// HG-011: without a token no hedge starts, and the primary still answers.
#[tokio::test(start_paused = true)]
async fn an_empty_budget_starts_no_hedge_and_the_primary_answers() {
    let hedge = with_budget(0.0, 2);
    for _ in 0..10 {
        call(&hedge, 50).await;
    }
    assert_eq!(
        counts(&hedge.stats()),
        [10, 10, 0, 0],
        "ten tokens at the start"
    );
    let log = Log::new();
    assert_eq!(
        hedge
            .run(script(&log, [(50, Ok("primary")), (1, Ok("hedge"))]))
            .await
            .unwrap(),
        "primary"
    );
    assert_eq!((log.starts(), log.now()), (vec!["0 1".to_owned()], 50));
    assert_eq!(counts(&hedge.stats()), [11, 10, 0, 1]);
}

/// HG-012: the budget runs out in the middle; what is in flight goes on and may win.
#[tokio::test(start_paused = true)]
async fn attempts_in_flight_are_not_touched_when_the_budget_runs_out() {
    let hedge = with_budget(0.0, 4);
    for _ in 0..3 {
        call(&hedge, 50).await;
    }
    assert_eq!(counts(&hedge.stats()), [3, 9, 0, 0]);
    let log = Log::new();
    let operation = script(
        &log,
        [(500, Ok("1")), (100, Ok("2")), (1, Ok("3")), (1, Ok("4"))],
    );
    assert_eq!(hedge.run(operation).await.unwrap(), "2");
    assert_eq!(
        (log.starts(), log.now()),
        (vec!["0 1".to_owned(), "10 2".to_owned()], 110)
    );
    assert_eq!(
        counts(&hedge.stats()),
        [4, 10, 1, 1],
        "suppressed once, not at every delay"
    );
}

/// HG-036: an attempt that replaces failed ones needs no token; the delays count on from it.
#[tokio::test(start_paused = true)]
async fn failover_needs_no_token() {
    let hedge = with_budget(0.0, 2);
    for _ in 0..10 {
        call(&hedge, 50).await;
    }
    // Failed before its time.
    let log = Log::new();
    assert_eq!(
        hedge
            .run(script(&log, [(5, Err("1")), (1, Ok("2"))]))
            .await
            .unwrap(),
        "2"
    );
    assert_eq!(log.starts(), ["0 1", "5 2"]);
    // Failed after its hedge was suppressed.
    let log = Log::new();
    assert_eq!(
        hedge
            .run(script(&log, [(30, Err("1")), (1, Ok("2"))]))
            .await
            .unwrap(),
        "2"
    );
    assert_eq!(log.starts(), ["0 1", "30 2"]);
    let log = Log::new();
    let lost = hedge
        .run(script(&log, [(30, Err("1")), (1, Err("2"))]))
        .await
        .unwrap_err();
    assert_eq!(kinds(&lost), ["attempt 1=failed", "attempt 2=failed"]);
    assert_eq!(counts(&hedge.stats()), [13, 13, 2, 2]);
}

/// HG-035: another call takes the last token; attempts that have started stay, and the budget is looked at
/// when an attempt starts.
#[tokio::test(start_paused = true)]
async fn the_budget_is_looked_at_when_an_attempt_starts() {
    let hedge = with_budget(0.0, 2);
    for _ in 0..9 {
        call(&hedge, 50).await;
    }
    let log = Log::new();
    let first = hedge.run(script(&log, [(50, Ok("1")), (100, Ok("2"))]));
    let second = async {
        tokio::time::sleep(ms(5)).await;
        hedge
            .run(script(&log, [(50, Ok("1")), (100, Ok("2"))]))
            .await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.unwrap(), second.unwrap()), ("1", "1"));
    assert_eq!(log.starts(), ["0 1", "5 1", "10 2"]);
    assert_eq!(counts(&hedge.stats()), [11, 10, 0, 1]);
}

/// HG-015: in the long run the share holds.
#[tokio::test(start_paused = true)]
async fn in_the_long_run_hedges_are_the_share_of_the_calls() {
    let hedge = with_budget(0.05, 2);
    for _ in 0..1_000 {
        call(&hedge, 50).await;
    }
    assert_eq!(counts(&hedge.stats()), [1_000, 10 + 50, 0, 1_000 - 60]);
}

/// HG-015: a quiet time saves up no more than a hundred.
#[tokio::test(start_paused = true)]
async fn at_most_a_hundred_tokens_are_kept() {
    let hedge = with_budget(1.0, 2);
    for _ in 0..500 {
        call(&hedge, 1).await;
    }
    let zero_share = counts(&hedge.stats());
    assert_eq!(zero_share, [500, 0, 0, 0]);
    let hedge = Hedge::builder()
        .max_attempts(10)
        .delay(Delay::Fixed(ms(1)))
        .budget(1.0)
        .build();
    for _ in 0..500 {
        call(&hedge, 1).await;
    }
    for _ in 0..20 {
        call(&hedge, 50).await;
    }
    // 100 kept, the first call's token found no room, 19 came in with the calls after it.
    assert_eq!(hedge.stats().hedges_started, 100 + 19);
}

/// HG-004 with a budget: each attempt of a burst needs its own token.
#[tokio::test(start_paused = true)]
async fn attempts_that_start_at_once_need_tokens_too() {
    let hedge = Hedge::builder()
        .max_attempts(8)
        .delay(Delay::Zero)
        .budget(0.0)
        .build();
    call(&hedge, 5).await;
    call(&hedge, 5).await;
    assert_eq!(counts(&hedge.stats()), [2, 10, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_every_hedge_starts() {
    let hedge = Hedge::builder()
        .max_attempts(2)
        .delay(Delay::Fixed(ms(10)))
        .build();
    for _ in 0..300 {
        call(&hedge, 50).await;
    }
    assert_eq!(counts(&hedge.stats()), [300, 300, 0, 0]);
}
