//! What ends a race from outside: limits, scopes, drops, panics.

use std::{
    future::{IntoFuture, pending},
    panic::AssertUnwindSafe,
    sync::Mutex,
};

use futures_util::FutureExt;
use nexios::{
    Background, CancelReason, CancelScope, CancelToken, Candidate, Drain, run_until_first_complete,
};
use tokio::time::{Instant, advance, sleep, timeout};

use super::{Log, kinds, ms, poll_once};

/// R6, HG-051: an overall limit with several in flight.
#[tokio::test(start_paused = true)]
async fn the_overall_limit_cancels_everything_and_says_so() {
    let log = Log::new();
    let lost = run_until_first_complete([
        log.err("a", 5),
        log.never("b"),
        log.never("c").after(ms(10)),
        log.never("d").on_failure(),
    ])
    .timeout(ms(100))
    .await
    .unwrap_err();
    assert_eq!(
        kinds(&lost),
        ["a=failed", "b=cancelled", "c=cancelled", "d=not started"]
    );
    assert!(lost.is_timeout());
    assert_eq!(
        lost.to_string(),
        "the race timed out: a failed, b was cancelled, c was cancelled, d was not started"
    );
    assert_eq!((log.now(), log.live()), (100, 0));
}

/// TO-004: a limit of zero polls once.
#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_polls_once() {
    let log = Log::new();
    let won = run_until_first_complete([Candidate::new("ready", async { Ok::<_, ()>(1) })])
        .timeout(ms(0))
        .await;
    assert_eq!(won.unwrap(), 1);
    let won =
        run_until_first_complete(
            [Candidate::new("ready", async { Ok::<_, ()>(1) }).timeout(ms(0))],
        )
        .await;
    assert_eq!(won.unwrap(), 1);
    let lost = run_until_first_complete([log.ok("a", 5), log.ok("b", 5).after(ms(1))])
        .timeout(ms(0))
        .await;
    let lost = lost.unwrap_err();
    assert_eq!(kinds(&lost), ["a=cancelled", "b=not started"]);
    assert!(lost.is_timeout());
    let lost = run_until_first_complete([log.ok("a", 5).timeout(ms(0))])
        .await
        .unwrap_err();
    assert_eq!(kinds(&lost), ["a=timed out"]);
    assert_eq!(
        (log.starts(), log.now()),
        (vec!["0 a".to_owned(), "0 a".to_owned()], 0)
    );
}

#[tokio::test(start_paused = true)]
async fn it_is_a_timeout_when_all_timed_out_and_not_when_some_did() {
    let log = Log::new();
    let lost =
        run_until_first_complete([log.never("a").timeout(ms(5)), log.never("b").timeout(ms(9))])
            .await;
    let lost = lost.unwrap_err();
    assert!(lost.is_timeout());
    assert_eq!(kinds(&lost), ["a=timed out", "b=timed out"]);
    assert_eq!(
        lost.to_string(),
        "no candidate won: a timed out, b timed out"
    );
    let lost = run_until_first_complete([log.never("a").timeout(ms(5)), log.err("b", 9)])
        .await
        .unwrap_err();
    assert!(!lost.is_timeout());
}

/// A poll that comes after the limit starts nobody.
#[tokio::test(start_paused = true)]
async fn past_the_limit_nothing_new_starts() {
    let log = Log::new();
    let race =
        run_until_first_complete([log.never("a"), log.ok("b", 1).after(ms(50))]).timeout(ms(100));
    let mut race = race.into_future();
    assert!(poll_once(&mut race).await.is_pending());
    advance(ms(300)).await;
    let lost = race.await.unwrap_err();
    assert_eq!(kinds(&lost), ["a=cancelled", "b=not started"]);
}

/// R5, RC-025, HG-018, HG-013: dropping the race drops every candidate at once.
#[tokio::test(start_paused = true)]
async fn dropping_the_race_drops_all() {
    let log = Log::new();
    let race =
        run_until_first_complete([log.never("a"), log.never("b"), log.never("c").after(ms(5))]);
    let cut = timeout(ms(20), race.into_future()).await;
    assert!(cut.is_err());
    assert_eq!((log.now(), log.live()), (20, 0));
    let never_polled = run_until_first_complete([log.never("x")]);
    drop(never_polled);
    assert_eq!(log.starts(), ["0 a", "0 b", "5 c"]);
}

/// RC-022, RC-024: losers are dropped, with what they own, before the value is returned.
#[tokio::test(start_paused = true)]
async fn the_losers_are_dropped_before_the_winner_is_returned() {
    let log = Log::new();
    let won = run_until_first_complete([
        log.ok("a", 5),
        log.never("b"),
        log.never("c").timeout(ms(10)),
    ])
    .timeout(ms(50))
    .await;
    log.line("returned");
    assert_eq!(won.unwrap(), "a");
    let lines = log.lines();
    assert_eq!(
        lines[3..],
        ["5 a dropped", "5 b dropped", "5 c dropped", "5 returned"]
    );
}

/// R4, RC-024: a loser whose cleanup takes long hands it to somebody who outlives the race; the answer does not wait.
#[tokio::test(start_paused = true)]
async fn a_losers_long_cleanup_does_not_hold_the_answer_back() {
    struct Lease {
        log: Log,
        cleanups: Background,
    }
    impl Drop for Lease {
        fn drop(&mut self) {
            let log = self.log.clone();
            let cleaning = self.cleanups.spawn("give the lease back", |_| async move {
                sleep(ms(1_500)).await;
                log.line("given back");
            });
            assert!(cleaning.is_ok());
        }
    }
    let log = Log::new();
    let cleanups = Background::new();
    let lease = Lease {
        log: log.clone(),
        cleanups: cleanups.clone(),
    };
    let won = run_until_first_complete([
        Candidate::new("stubborn", async move {
            let _lease = lease;
            pending().await
        }),
        log.ok("quick", 10),
    ])
    .await;
    assert_eq!((won.unwrap(), log.now()), ("quick", 10));
    assert_eq!(cleanups.stats().running, 1, "and it can be seen");
    let report = cleanups
        .drain(Drain {
            wait: ms(5_000),
            cancel: ms(0),
        })
        .await;
    assert_eq!(report.completed, ["give the lease back"]);
    assert_eq!(log.lines().last().unwrap(), "1510 given back");
}

/// Pitfall 3.9: what is over does not go on.
#[test]
fn a_race_that_is_over_is_not_polled_again() {
    let mut race = run_until_first_complete([Candidate::new("a", async { Ok::<_, ()>(1) })]);
    assert!((&mut race).now_or_never().is_some());
    let again = AssertUnwindSafe(&mut race)
        .catch_unwind()
        .now_or_never()
        .unwrap();
    let payload = again.unwrap_err();
    assert_eq!(
        payload.downcast_ref::<&str>(),
        Some(&"a race that is over was polled again")
    );
}

/// A limit counts from the candidate's own start, a delay from the start before it, and both on one clock although
/// they are only read when they are needed.
#[tokio::test(start_paused = true)]
async fn times_that_are_needed_late_are_exact() {
    let log = Log::new();
    let race = run_until_first_complete([
        log.err("a", 10),
        log.err("b", 7).on_failure(),
        log.never("c").on_failure().timeout(ms(20)),
        log.ok("d", 1).after(ms(5)),
    ]);
    let winner = race.winner().await.unwrap();
    assert_eq!((winner.value, winner.elapsed), ("d", ms(23)));
    assert_eq!(log.starts(), ["0 a", "10 b", "17 c", "22 d"]);
}

#[tokio::test(start_paused = true)]
async fn a_race_inherits_the_token_of_its_scope() {
    let log = Log::new();
    let token = CancelToken::new();
    let scope = CancelScope::new(token.clone(), None);
    let race = scope.run(async {
        run_until_first_complete([log.err("a", 1), log.never("b"), log.never("c").on_failure()])
            .await
    });
    let cancel = async {
        sleep(ms(30)).await;
        token.cancel(CancelReason::ClientDisconnected);
    };
    let (lost, ()) = tokio::join!(race, cancel);
    let lost = lost.unwrap_err();
    assert_eq!(kinds(&lost), ["a=failed", "b=cancelled", "c=not started"]);
    assert!(!lost.is_timeout());
    assert_eq!((log.now(), log.live()), (30, 0));
}

/// The scope is the one of the place where the race is made, not where it is polled.
#[tokio::test(start_paused = true)]
#[expect(
    clippy::async_yields_async,
    reason = "the race is made in the scope and awaited outside"
)]
async fn the_scope_is_taken_where_the_race_is_made() {
    let log = Log::new();
    let token = CancelToken::new();
    let scope = CancelScope::new(token.clone(), None);
    let race = scope
        .run(async { run_until_first_complete([log.never("a")]) })
        .await;
    let outside = run_until_first_complete([log.ok("b", 50)]);
    let outside = scope.run(outside.into_future());
    let cancel = async {
        sleep(ms(3)).await;
        token.cancel(CancelReason::Shutdown);
    };
    let (lost, won, ()) = tokio::join!(race.into_future(), outside, cancel);
    assert_eq!(kinds(&lost.unwrap_err()), ["a=cancelled"]);
    assert_eq!(won.unwrap(), "b");
}

/// HG-018: cancelled before the start, nothing starts.
#[tokio::test(start_paused = true)]
async fn in_a_cancelled_scope_nothing_starts() {
    let log = Log::new();
    let token = CancelToken::new();
    token.cancel(CancelReason::Shutdown);
    let scope = CancelScope::new(token, None);
    let race = scope.run(async {
        run_until_first_complete([log.ok("a", 1), Candidate::new("b", async { Ok("b") })]).await
    });
    assert_eq!(
        kinds(&race.await.unwrap_err()),
        ["a=not started", "b=not started"]
    );
    assert!(log.lines().is_empty());
}

/// TO-005, TO-016: the earlier of the two limits counts, and each says which it was.
#[tokio::test(start_paused = true)]
async fn the_earlier_of_own_limit_and_scope_deadline_counts() {
    for (own, kind, at) in [
        (ms(50), "a=timed out", 20),
        (ms(10), "a=cancelled", 10),
        (ms(20), "a=timed out", 20),
    ] {
        let log = Log::new();
        let scope = CancelScope::new(CancelToken::new(), Some(Instant::now() + ms(20)));
        let race = scope.run(async {
            run_until_first_complete([log.never("a")])
                .timeout(own)
                .await
        });
        let lost = race.await.unwrap_err();
        assert_eq!((kinds(&lost), log.now()), (vec![kind.to_owned()], at));
        assert!(lost.is_timeout());
    }
}

#[tokio::test(start_paused = true)]
async fn the_scopes_deadline_times_out_what_runs() {
    let log = Log::new();
    let scope = CancelScope::new(CancelToken::new(), Some(Instant::now() + ms(20)));
    let lost = scope
        .run(async {
            run_until_first_complete([log.err("a", 5), log.never("b"), log.never("c").on_failure()])
                .await
        })
        .await
        .unwrap_err();
    assert_eq!(kinds(&lost), ["a=failed", "b=timed out", "c=not started"]);
    assert!(lost.is_timeout());
    assert_eq!((log.now(), log.live()), (20, 0));
}

#[tokio::test(start_paused = true)]
async fn a_token_fired_by_a_deadline_is_a_timeout() {
    let log = Log::new();
    let token = CancelToken::new();
    let scope = CancelScope::new(token.clone(), None);
    let race = scope.run(async { run_until_first_complete([log.never("a")]).await });
    let (lost, ()) = tokio::join!(race, async {
        sleep(ms(4)).await;
        token.cancel(CancelReason::Deadline);
    });
    let lost = lost.unwrap_err();
    assert_eq!(kinds(&lost), ["a=timed out"]);
    assert!(lost.is_timeout());
}

/// RC-008: a panic ends the race; the others are dropped before it resumes.
#[tokio::test(start_paused = true)]
async fn a_panic_drops_the_others_and_resumes() {
    let log = Log::new();
    let race = run_until_first_complete([
        log.never("a"),
        Candidate::new("bad", async {
            sleep(ms(5)).await;
            panic!("broken candidate")
        }),
        log.never("c").after(ms(500)),
    ]);
    let mut race = AssertUnwindSafe(race.into_future()).catch_unwind();
    let payload = (&mut race).await.unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"broken candidate"));
    assert_eq!(
        (log.now(), log.live()),
        (5, 0),
        "dropped although the race's future is still held"
    );
    drop(race);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_rule_drops_the_candidates_too() {
    let log = Log::new();
    let race = run_until_first_complete([log.ok("a", 5), log.never("b")])
        .accept(|_| panic!("broken rule"));
    let mut race = AssertUnwindSafe(race.into_future()).catch_unwind();
    assert!((&mut race).await.is_err());
    assert_eq!(log.live(), 0);
    drop(race);
}

/// RC-019 has no shield here: a race polled from a cancelled scope's owner still returns what is ready.
#[tokio::test(start_paused = true)]
async fn a_success_in_the_same_instant_as_the_cancellation_wins() {
    let token = CancelToken::new();
    let scope = CancelScope::new(token.clone(), None);
    let race = scope.run(async {
        run_until_first_complete([Candidate::new("a", async {
            sleep(ms(5)).await;
            token.cancel(CancelReason::Shutdown);
            Ok::<_, ()>("a")
        })])
        .await
    });
    assert_eq!(race.await.unwrap(), "a");
}

#[test]
fn a_race_without_times_needs_no_runtime() {
    let won = run_until_first_complete([
        Candidate::new("bad", async { Err::<u8, _>("no") }),
        Candidate::new("never", pending()),
        Candidate::new("good", async { Ok(3) }),
        Candidate::new("reserve", async { Ok(4) }).on_failure(),
    ])
    .into_future()
    .now_or_never();
    assert_eq!(won.unwrap().unwrap(), 3);
    let winner =
        run_until_first_complete([Candidate::new("good", async { Ok::<_, ()>(3) })]).winner();
    assert_eq!(winner.now_or_never().unwrap().unwrap().started, 1);
}

/// HG-049, RC-022: every value that is not returned is handed over, whoever made it.
#[tokio::test(start_paused = true)]
async fn every_value_that_is_not_returned_is_discarded() {
    let log = Log::new();
    let discarded = Mutex::new(Vec::new());
    let won = run_until_first_complete([
        log.ok("early", 1),
        log.ok("winner", 5),
        log.ok("tied", 5),
        log.ok("late", 9),
    ])
    .accept(|value| *value != "early")
    .on_discard(|value| discarded.lock().unwrap().push(value))
    .await;
    assert_eq!(won.unwrap(), "winner");
    assert_eq!(*discarded.lock().unwrap(), ["early", "tied"]);
}

#[test]
fn an_error_converts_into_the_usual_ones() {
    fn assert_error<E: std::error::Error + Send + Sync + 'static>(error: E) -> String {
        anyhow::Error::from(error).to_string()
    }
    let lost = run_until_first_complete([Candidate::new("a", async { Err::<(), _>("no") })]);
    let lost = lost.into_future().now_or_never().unwrap().unwrap_err();
    assert!(std::error::Error::source(&lost).is_none());
    assert_eq!(assert_error(lost), "no candidate won: a failed");
}

/// A race is a future: it can be polled by reference, stored, spawned, and asked for its winner afterwards.
#[tokio::test(start_paused = true)]
async fn a_race_that_was_polled_goes_on_and_tells_its_winner() {
    let log = Log::new();
    let mut stored = vec![run_until_first_complete([log.ok("a", 50), log.ok("b", 40)])];
    let began = Instant::now();
    let early = timeout(ms(30), &mut stored[0]).await;
    assert!(early.is_err(), "it does not end with the wait for it");
    let race = stored.pop().unwrap();
    let winner = tokio::spawn(race.winner()).await.unwrap().unwrap();
    assert_eq!((winner.value, winner.index, winner.started), ("b", 1, 2));
    assert_eq!(
        (began.elapsed(), winner.elapsed),
        (ms(40), ms(40)),
        "counted from the race's first poll"
    );
    assert_eq!(
        (log.starts(), log.live()),
        (vec!["0 a".to_owned(), "0 b".to_owned()], 0)
    );
}
