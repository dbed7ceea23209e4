//! Who wins, and what counts as a failure.

use std::{cell::RefCell, sync::Mutex};

use nexios::{Candidate, Failure, RaceError, run_until_first_complete};
use tokio::{sync::oneshot, time::sleep};

use super::{Log, kinds, ms};

/// RC-001, R0: fast and slow; the slow one never finishes and is gone when the value is there.
#[tokio::test(start_paused = true)]
async fn the_faster_of_two_wins_and_the_slower_never_finishes() {
    let log = Log::new();
    let winner = run_until_first_complete([log.ok("slow", 100), log.ok("fast", 10)])
        .winner()
        .await
        .unwrap();
    assert_eq!(
        (winner.value, &*winner.name, winner.index),
        ("fast", "fast", 1)
    );
    assert_eq!((winner.elapsed, winner.started), (ms(10), 2));
    assert_eq!(log.now(), 10);
    assert_eq!(log.live(), 0);
}

/// RC-003, RC-011, R1.
#[tokio::test(start_paused = true)]
async fn first_success_wins_over_an_earlier_failure() {
    let log = Log::new();
    let won = run_until_first_complete([log.err("broken", 5), log.ok("good", 50)]).await;
    assert_eq!(won.unwrap(), "good");
    assert_eq!(log.now(), 50);
}

/// RC-005.
#[tokio::test(start_paused = true)]
async fn a_candidate_that_never_ends_does_not_hold_the_race() {
    let log = Log::new();
    let race = run_until_first_complete([log.never("never"), log.ok("good", 7)]);
    assert_eq!(race.await.unwrap(), "good");
    assert_eq!((log.now(), log.live()), (7, 0));
}

/// RC-006, R2, HG-048: four failures, all kept in list order, returned when the last one ends.
#[tokio::test(start_paused = true)]
async fn all_failures_are_kept_in_the_order_of_the_list() {
    let log = Log::new();
    let lost = run_until_first_complete([
        log.err("a", 30),
        log.err("b", 10),
        log.err("c", 40).after(ms(5)),
        log.err("d", 1).after(ms(5)),
    ])
    .await
    .unwrap_err();
    assert_eq!(log.now(), 45);
    assert_eq!(lost.primary(), Some(&"a"));
    assert!(!lost.is_timeout() && !lost.is_empty());
    let failures = lost.into_failures().into_iter();
    let errors: Vec<_> = failures
        .map(|(name, failure)| match failure {
            Failure::Failed(error) => (name, error),
            other => panic!("{name}: {other:?}"),
        })
        .collect();
    assert_eq!(
        errors,
        [
            ("a".into(), "a"),
            ("b".into(), "b"),
            ("c".into(), "c"),
            ("d".into(), "d")
        ]
    );
}

/// RC-007, RC-013: the error type is the candidates' own.
#[tokio::test(start_paused = true)]
async fn errors_keep_their_type() {
    #[derive(Debug, PartialEq)]
    struct Left(u8);
    let lost: RaceError<Left> = run_until_first_complete([
        Candidate::new("left", async { Err::<(), _>(Left(1)) }),
        Candidate::new("mapped", async {
            "x".parse::<u8>().map(drop).map_err(|_| Left(2))
        }),
    ])
    .await
    .unwrap_err();
    assert!(matches!(lost.failures()[1].1, Failure::Failed(Left(2))));
}

/// RC-009, R3.
#[tokio::test]
async fn an_empty_list_is_an_error_of_its_own() {
    let lost = run_until_first_complete(Vec::<Candidate<'_, (), ()>>::new())
        .await
        .unwrap_err();
    assert!(lost.is_empty() && !lost.is_timeout());
    assert_eq!(lost.to_string(), "the race had no candidates");
    let lost = run_until_first_complete(Vec::<Candidate<'_, (), ()>>::new())
        .timeout(ms(0))
        .winner()
        .await;
    assert!(lost.unwrap_err().is_empty());
}

/// RC-017, R9: a candidate that ends because its own inside was cancelled is a failure like any other.
#[tokio::test(start_paused = true)]
async fn a_candidate_cancelled_by_itself_counts_as_failed() {
    let aborted = tokio::spawn(std::future::pending::<&str>());
    aborted.abort();
    let won = run_until_first_complete([
        Candidate::new("aborted", async {
            aborted.await.map_err(|error| error.to_string())
        }),
        Candidate::new("good", async {
            sleep(ms(5)).await;
            Ok("good")
        }),
    ])
    .await;
    assert_eq!(won.unwrap(), "good");
}

/// RC-021, HG-049: two successes in one instant; the lowest index wins, the other value is handed over.
#[tokio::test(start_paused = true)]
async fn in_a_tie_the_lowest_index_wins_and_the_other_value_is_discarded() {
    for round in 0..100 {
        let log = Log::new();
        let discarded = Mutex::new(Vec::new());
        let mut list = vec![
            log.err("broken", 10),
            log.ok("first", 10),
            log.ok("second", 10),
        ];
        if round % 2 == 1 {
            list.swap(0, 2);
        }
        let expected = if round % 2 == 1 {
            ("second", 0)
        } else {
            ("first", 1)
        };
        let winner = run_until_first_complete(list)
            .on_discard(|value| discarded.lock().unwrap().push(value))
            .winner()
            .await
            .unwrap();
        assert_eq!((winner.value, winner.index), expected);
        let other = if expected.0 == "first" {
            "second"
        } else {
            "first"
        };
        assert_eq!(*discarded.lock().unwrap(), [other]);
        assert_eq!(log.live(), 0);
    }
}

#[tokio::test]
async fn ready_at_once_the_lowest_index_wins_too() {
    let discarded = RefCell::new(Vec::new());
    // `RefCell` is not `Sync`: a reference to it cannot be sent, so it moves in.
    let (report, reported) = std::sync::mpsc::channel();
    let won = run_until_first_complete(
        (0..5).map(|n| Candidate::new("n", async move { Ok::<_, ()>(n) })),
    )
    .on_discard(move |value| {
        discarded.borrow_mut().push(value);
        report.send(value).unwrap();
    })
    .await;
    assert_eq!(won.unwrap(), 0);
    assert_eq!(reported.iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
}

/// R7: success and failure in one instant, whatever their order.
#[tokio::test(start_paused = true)]
async fn in_one_instant_a_success_beats_a_failure() {
    for _ in 0..100 {
        let log = Log::new();
        let failing_first =
            run_until_first_complete([log.err("bad", 10), log.ok("good", 10)]).await;
        let good_first = run_until_first_complete([log.ok("good", 10), log.err("bad", 10)]).await;
        assert_eq!(
            (failing_first.unwrap(), good_first.unwrap()),
            ("good", "good")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn in_one_instant_a_success_beats_every_kind_of_end() {
    let log = Log::new();
    // Its own limit.
    let won = run_until_first_complete([log.ok("own", 10).timeout(ms(10))]).await;
    assert_eq!(won.unwrap(), "own");
    // The overall limit.
    let won = run_until_first_complete([log.ok("overall", 10)])
        .timeout(ms(10))
        .await;
    assert_eq!(won.unwrap(), "overall");
    // A fatal error of a lower index.
    let won = run_until_first_complete([log.err("fatal", 10), log.ok("good", 10)])
        .fatal(|_| true)
        .await;
    assert_eq!(won.unwrap(), "good");
    // A candidate that a failure starts in the same instant and that succeeds at once.
    let won = run_until_first_complete([
        log.err("bad", 10),
        Candidate::new("reserve", async { Ok("reserve") }).on_failure(),
    ])
    .timeout(ms(10))
    .await;
    assert_eq!(won.unwrap(), "reserve");
    assert_eq!(log.live(), 0);
}

/// HG-009, HG-021, HG-041: unaccepted values do not end the race; the accepted one does.
#[tokio::test(start_paused = true)]
async fn a_refused_value_is_a_failure_and_is_discarded() {
    let log = Log::new();
    let discarded = Mutex::new(Vec::new());
    let won =
        run_until_first_complete([log.ok("empty", 5), log.ok("full", 20), log.never("never")])
            .accept(|value| *value == "full")
            .on_discard(|value| discarded.lock().unwrap().push(value))
            .await;
    assert_eq!(won.unwrap(), "full");
    assert_eq!(*discarded.lock().unwrap(), ["empty"]);
    let lost = run_until_first_complete([log.ok("a", 20), log.ok("b", 1)])
        .accept(|_| false)
        .await
        .unwrap_err();
    assert_eq!(kinds(&lost), ["a=refused", "b=refused"]);
    assert_eq!(
        lost.to_string(),
        "no candidate won: a was refused, b was refused"
    );
}

/// HG-019, HG-020, HG-030: a fatal error ends the race at once.
#[tokio::test(start_paused = true)]
async fn a_fatal_error_ends_the_race_at_once() {
    let log = Log::new();
    let lost = run_until_first_complete([
        log.err("soft", 2),
        log.err("hard", 5),
        log.ok("slow", 50),
        log.ok("later", 1).after(ms(20)),
        log.ok("reserve", 1).on_failure(),
    ])
    .fatal(|error| *error == "hard")
    .await
    .unwrap_err();
    assert_eq!(
        kinds(&lost),
        [
            "soft=failed",
            "hard=failed",
            "slow=cancelled",
            "later=not started",
            "reserve=not started"
        ]
    );
    assert_eq!((log.now(), log.live()), (5, 0));
    assert!(!lost.is_timeout());
}

#[tokio::test(start_paused = true)]
async fn a_fatal_error_starts_no_reserve() {
    let log = Log::new();
    let lost = run_until_first_complete([log.err("hard", 5), log.ok("reserve", 1).on_failure()])
        .fatal(|_| true)
        .await
        .unwrap_err();
    assert_eq!(kinds(&lost), ["hard=failed", "reserve=not started"]);
}

#[tokio::test(start_paused = true)]
async fn first_completed_lets_the_first_finisher_decide() {
    let log = Log::new();
    let lost = run_until_first_complete([log.ok("slow", 10), log.err("fast", 5)])
        .first_completed()
        .await
        .unwrap_err();
    assert_eq!(kinds(&lost), ["slow=cancelled", "fast=failed"]);
    let won = run_until_first_complete([log.ok("fast", 5), log.err("slow", 10)])
        .first_completed()
        .await;
    assert_eq!(won.unwrap(), "fast");
    // Ties go to the lowest index, a failure included.
    let lost = run_until_first_complete([log.err("a", 5), log.ok("b", 5)])
        .first_completed()
        .await
        .unwrap_err();
    assert_eq!(kinds(&lost), ["a=failed", "b=cancelled"]);
    // A timeout is an end too.
    let lost = run_until_first_complete([log.ok("a", 50).timeout(ms(3)), log.ok("b", 5)])
        .first_completed()
        .await
        .unwrap_err();
    assert_eq!(kinds(&lost), ["a=timed out", "b=cancelled"]);
    assert_eq!(log.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn first_completed_does_not_poll_those_after_one_that_finishes_at_once() {
    let log = Log::new();
    let lost = run_until_first_complete([
        Candidate::new("at once", async { Err("no") }),
        log.ok("later", 0),
    ])
    .first_completed()
    .await
    .unwrap_err();
    assert_eq!(lost.failures().len(), 2);
    assert!(log.lines().is_empty());
}

/// HG-050: an error after the win is the caller's business; the race is over and clean by then.
#[tokio::test(start_paused = true)]
async fn after_the_win_nothing_of_the_race_is_left() {
    let log = Log::new();
    let handed_over: Result<&str, &str> = async {
        let value = run_until_first_complete([log.ok("a", 5), log.never("b")])
            .await
            .map_err(|_| "race")?;
        assert_eq!(log.live(), 0);
        Err(value)
    }
    .await;
    assert_eq!(handed_over, Err("a"));
}

/// RC-018: the outer race decides, the inner one is gone at once.
#[tokio::test(start_paused = true)]
async fn a_nested_race_goes_with_the_outer_one() {
    let log = Log::new();
    let inner = run_until_first_complete([log.never("in 1"), log.ok("in 2", 10_000)]);
    let won = run_until_first_complete([
        Candidate::new("inner", async { inner.await.map_err(|_| "inner") }),
        log.ok("outer", 3),
    ])
    .await;
    assert_eq!((won.unwrap(), log.now(), log.live()), ("outer", 3, 0));
}

/// RC-026: the optional form is `.ok()`; RS-007: candidates borrow from the caller.
#[tokio::test(start_paused = true)]
async fn candidates_borrow_and_a_timeout_can_be_an_option() {
    let text = String::from("text");
    let won =
        run_until_first_complete([Candidate::new("borrows", async { Ok::<&str, ()>(&text) })])
            .await
            .ok();
    assert_eq!(won, Some("text"));
    let none = run_until_first_complete([Candidate::new(
        "never",
        std::future::pending::<Result<(), ()>>(),
    )])
    .timeout(ms(5))
    .await
    .ok();
    assert_eq!(none, None);
}

/// HG-014: what the winner hands out lives on when the losers are dropped.
#[tokio::test(start_paused = true)]
async fn dropping_the_losers_does_not_cut_what_the_winner_handed_out() {
    let (send, body) = oneshot::channel();
    let log = Log::new();
    let won = run_until_first_complete([
        Candidate::new("streaming", async { Ok::<_, ()>(body) }),
        Candidate::new("loser", async {
            sleep(ms(50)).await;
            Err(())
        }),
    ])
    .await
    .unwrap();
    send.send("body").unwrap();
    assert_eq!((won.await.unwrap(), log.now()), ("body", 0));
}
