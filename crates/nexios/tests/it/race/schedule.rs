//! Exact start times.

use std::future::IntoFuture;

use nexios::{Candidate, run_until_first_complete};
use tokio::time::advance;

use super::{Log, kinds, ms, poll_once};

/// R10: a backup that is not needed is never polled.
#[tokio::test(start_paused = true)]
async fn a_candidate_that_never_starts_is_never_polled() {
    let log = Log::new();
    let winner = run_until_first_complete([
        log.ok("primary", 10),
        log.ok("second", 1).after(ms(50)),
        log.ok("third", 1).on_failure(),
    ])
    .winner()
    .await
    .unwrap();
    assert_eq!((winner.index, winner.started), (0, 1));
    assert_eq!(log.lines(), ["0 primary starts", "10 primary dropped"]);
}

/// HG-043: the first fails at once, the second does not wait for its delay.
#[tokio::test(start_paused = true)]
async fn when_all_running_ones_have_failed_the_next_starts_at_once() {
    let log = Log::new();
    let lost = run_until_first_complete([log.err("a", 0), log.err("b", 1).after(ms(500))])
        .await
        .unwrap_err();
    assert_eq!(log.starts(), ["0 a", "0 b"]);
    assert_eq!(kinds(&lost), ["a=failed", "b=failed"]);

    let log = Log::new();
    let won = run_until_first_complete([
        Candidate::new("a", async { Err("at once") }),
        log.ok("b", 1).after(ms(500)),
    ])
    .await;
    assert_eq!((won.unwrap(), log.starts()), ("b", vec!["0 b".to_owned()]));
}

/// HG-044, HG-002: the first is slow, the second starts after the delay and wins.
#[tokio::test(start_paused = true)]
async fn a_slow_candidate_lets_the_next_start_after_the_delay() {
    let log = Log::new();
    let won = run_until_first_complete([log.ok("a", 1_000), log.ok("b", 10).after(ms(250))]).await;
    assert_eq!(won.unwrap(), "b");
    assert_eq!(
        log.lines(),
        [
            "0 a starts",
            "250 b starts",
            "260 b dropped",
            "260 a dropped"
        ]
    );
}

/// HG-045.
#[tokio::test(start_paused = true)]
async fn delays_count_from_the_start_of_the_previous_one() {
    let log = Log::new();
    let won = run_until_first_complete([
        log.ok("a", 1_000),
        log.ok("b", 400).after(ms(250)),
        log.ok("c", 1_000).after(ms(250)),
        log.ok("d", 1).after(ms(250)),
    ])
    .await;
    assert_eq!((won.unwrap(), log.now()), ("b", 650));
    assert_eq!(log.starts(), ["0 a", "250 b", "500 c"]);
}

/// HG-046: two hedges run, the first still wins at 1 s.
#[tokio::test(start_paused = true)]
async fn the_first_can_win_although_others_run() {
    let log = Log::new();
    let list = ["b", "c", "d"].map(|name| log.never(name).after(ms(450)));
    let winner = run_until_first_complete([log.ok("a", 1_000)].into_iter().chain(list))
        .winner()
        .await
        .unwrap();
    assert_eq!(
        (winner.value, winner.started, winner.elapsed),
        ("a", 3, ms(1_000))
    );
    assert_eq!(log.starts(), ["0 a", "450 b", "900 c"]);
}

/// HG-047, HG-030: an early failure of everything running starts the next at once; later delays count from
/// that start.
#[tokio::test(start_paused = true)]
async fn an_early_failure_moves_all_later_starts() {
    let log = Log::new();
    let won = run_until_first_complete([
        log.err("a", 100),
        log.err("b", 200).after(ms(250)),
        log.never("c").after(ms(250)),
        log.ok("d", 50).after(ms(250)),
    ])
    .await;
    assert_eq!((won.unwrap(), log.now()), ("d", 600));
    assert_eq!(log.starts(), ["0 a", "100 b", "300 c", "550 d"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_another_runs_starts_nobody() {
    let log = Log::new();
    let won = run_until_first_complete([
        log.never("a"),
        log.err("b", 10),
        log.ok("c", 5).after(ms(250)),
    ])
    .await;
    assert_eq!(won.unwrap(), "c");
    assert_eq!(log.starts(), ["0 a", "0 b", "250 c"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_delay_it_starts_together_with_the_previous_one() {
    let log = Log::new();
    let won = run_until_first_complete([
        log.never("a"),
        log.never("b").after(ms(100)),
        log.never("c"),
        log.ok("d", 7).after(ms(30)),
    ])
    .await;
    assert_eq!(won.unwrap(), "d");
    assert_eq!(log.starts(), ["0 a", "100 b", "100 c", "130 d"]);
}

/// HG-005: pure failover, never two in flight.
#[tokio::test(start_paused = true)]
async fn on_failure_starts_only_when_all_earlier_ones_have_failed() {
    let log = Log::new();
    let won = run_until_first_complete([
        log.err("a", 30),
        log.err("b", 80),
        log.err("c", 20).on_failure(),
        log.ok("d", 5).on_failure(),
        log.ok("e", 1).on_failure(),
    ])
    .await;
    assert_eq!(won.unwrap(), "d");
    assert_eq!(log.starts(), ["0 a", "0 b", "80 c", "100 d"]);
}

#[tokio::test(start_paused = true)]
async fn those_after_a_reserve_wait_for_it() {
    let log = Log::new();
    let won = run_until_first_complete([
        log.err("a", 30),
        log.never("b").on_failure(),
        log.never("c"),
        log.ok("d", 5).after(ms(10)),
    ])
    .await;
    assert_eq!(won.unwrap(), "d");
    assert_eq!(log.starts(), ["0 a", "30 b", "30 c", "40 d"]);
}

/// HG-005: a delay beyond the end of the clock leaves failover alone.
#[tokio::test(start_paused = true)]
async fn an_endless_delay_is_pure_failover() {
    let log = Log::new();
    let endless = std::time::Duration::MAX;
    let won = run_until_first_complete([
        log.err("a", 30),
        log.err("b", 30).after(endless).timeout(endless),
        log.ok("c", 30).after(endless),
    ])
    .timeout(endless)
    .await;
    assert_eq!(
        (won.unwrap(), log.starts()),
        ("c", vec!["0 a".into(), "30 b".into(), "60 c".into()])
    );
}

/// HG-042: a timeout is a failure and counts from the candidate's own start.
#[tokio::test(start_paused = true)]
async fn a_timeout_is_a_failure_and_counts_from_its_own_start() {
    let log = Log::new();
    let won = run_until_first_complete([
        log.err("a", 20),
        log.never("b").timeout(ms(100)).after(ms(500)),
        log.ok("c", 5).timeout(ms(6)).on_failure(),
    ])
    .await;
    assert_eq!((won.unwrap(), log.now()), ("c", 125));
    assert_eq!(
        log.lines(),
        [
            "0 a starts",
            "20 a dropped",
            "20 b starts",
            "120 b dropped",
            "120 c starts",
            "125 c dropped",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_of_the_list_starts_at_once_whatever_it_says() {
    let log = Log::new();
    let won =
        run_until_first_complete([log.ok("a", 1).after(ms(90)), log.ok("b", 1).on_failure()]).await;
    assert_eq!((won.unwrap(), log.starts()), ("a", vec!["0 a".to_owned()]));
}

/// The last call of `after` and `on_failure` counts.
#[tokio::test(start_paused = true)]
async fn of_after_and_on_failure_the_last_call_counts() {
    let log = Log::new();
    let won = run_until_first_complete([
        log.err("a", 50),
        log.never("b").on_failure().after(ms(10)),
        log.ok("c", 1).after(ms(10)).on_failure(),
    ])
    .timeout(ms(100))
    .await;
    assert!(won.unwrap_err().is_timeout());
    assert_eq!(log.starts(), ["0 a", "10 b"]);
}

/// Delays count from the actual start: a race that was polled late does not catch up in a burst.
#[tokio::test(start_paused = true)]
async fn a_late_poll_does_not_start_everybody() {
    let log = Log::new();
    let race = run_until_first_complete([
        log.never("a"),
        log.never("b").after(ms(50)),
        log.ok("c", 5).after(ms(50)),
    ]);
    let mut race = race.into_future();
    assert!(poll_once(&mut race).await.is_pending());
    advance(ms(300)).await;
    assert_eq!(race.await.unwrap(), "c");
    assert_eq!(log.starts(), ["0 a", "300 b", "350 c"]);
}

#[tokio::test(start_paused = true)]
async fn the_clock_starts_at_the_first_poll() {
    let log = Log::new();
    let race = run_until_first_complete([log.ok("a", 40)]).timeout(ms(50));
    advance(ms(100)).await;
    let winner = race.winner().await.unwrap();
    assert_eq!((winner.elapsed, log.now()), (ms(40), 140));
}
