//! What is told of races and hedges.

use std::{future::pending, sync::Arc, time::Duration};

use nexios::{
    CancelReason, CancelScope, CancelToken, Candidate, Delay, Hedge,
    observe::{self, CustomWork, Observer, Outcome, WorkId},
    run_until_first_complete,
};
use tokio::time::sleep;

use super::recorder::Recorder;

/// Runs the future as the test's own work.
async fn within<F: Future>(root: CustomWork, future: F) -> F::Output {
    root.run(future).await
}

fn candidates(last: Result<u8, &'static str>) -> [Candidate<'static, u8, &'static str>; 2] {
    [
        Candidate::new("slow", pending()),
        Candidate::new("last", async move { last }),
    ]
}

#[tokio::test(start_paused = true)]
async fn the_winner_has_won_and_all_others_have_lost() {
    let (told, _observing, root) = Recorder::begin();
    let [slow, last] = candidates(Ok(1));
    let never = Candidate::new("never", pending()).on_failure();
    within(
        root,
        run_until_first_complete([slow, last, never]).name("search"),
    )
    .await
    .unwrap();
    assert_eq!(
        told.lines(),
        [
            "search: made as race",
            "search: started",
            "slow: made as candidate in search",
            "last: made as candidate in search",
            "never: made as candidate in search",
            "slow: started",
            "last: started",
            "last: Won",
            "slow: Lost",
            "never: Lost",
            "search: Completed",
        ]
    );
}

#[tokio::test]
async fn a_race_without_a_name_is_called_by_its_place() {
    let (told, _observing, root) = Recorder::begin();
    let line = line!() + 1;
    within(root, run_until_first_complete(candidates(Ok(1))))
        .await
        .unwrap();
    let name = told.lines()[0].clone();
    assert!(name.contains(&format!("races.rs:{line}:")), "{name}");
}

#[tokio::test]
async fn what_a_candidate_starts_is_its_part() {
    let (told, _observing, root) = Recorder::begin();
    let candidate = Candidate::new("first", async {
        drop(observe::custom("inside"));
        Ok::<_, ()>(1)
    });
    within(root, run_until_first_complete([candidate]))
        .await
        .unwrap();
    assert!(
        told.lines()
            .contains(&"inside: made as custom in first".into())
    );
}

/// In real time: a paused clock stands while code blocks.
#[tokio::test]
async fn a_slow_poll_is_told_by_the_candidate_and_not_by_the_race() {
    let (told, _observing, root) = Recorder::begin();
    let candidate = Candidate::new("slow", async {
        std::thread::sleep(Duration::from_millis(150));
        Ok::<_, ()>(1)
    });
    within(root, run_until_first_complete([candidate]).name("race"))
        .await
        .unwrap();
    let slow = told.slow_polls();
    assert_eq!(slow.len(), 1, "{slow:#?}");
    assert!(slow[0].starts_with("slow: "), "{slow:#?}");
}

/// In real time: a paused clock stands while code blocks.
#[tokio::test]
async fn a_race_whose_rules_hold_the_thread_says_so_before_its_end() {
    let (told, _observing, root) = Recorder::begin();
    let race = run_until_first_complete(candidates(Ok(1)))
        .accept(|_| {
            std::thread::sleep(Duration::from_millis(150));
            true
        })
        .name("race");
    within(root, race).await.unwrap();
    let lines = told.lines_and_slow_polls();
    assert!(
        lines.iter().any(|line| line.starts_with("race: SlowPoll")),
        "{lines:#?}"
    );
    assert_eq!(lines.last().unwrap(), "race: Completed");
}

/// Makes work of its own when it is told of an end.
struct Meddler;

impl Observer for Meddler {
    fn ended(&self, _: WorkId, outcome: &Outcome<'_>) {
        if *outcome == Outcome::Failed(None) {
            drop(observe::custom("of the observer"));
        }
    }
}

#[tokio::test]
async fn a_race_that_has_ended_is_current_no_more() {
    let (told, _observing, root) = Recorder::begin();
    let meddling = observe::observe(Arc::new(Meddler));
    let outer = root.scope(|| observe::custom("outer"));
    let race = run_until_first_complete([Candidate::new("only", async { Err::<(), _>(()) })]);
    within(outer, race.name("race")).await.unwrap_err();
    drop(meddling);
    let lines = told.lines();
    let end = lines.iter().position(|line| line == "race: Failed(None)");
    let after = &lines[end.unwrap()..];
    assert!(
        after.contains(&"of the observer: made as custom in outer".into()),
        "{lines:#?}"
    );
    assert!(
        !after.contains(&"of the observer: made as custom in race".into()),
        "{lines:#?}"
    );
}

#[tokio::test]
async fn candidates_that_fail_have_failed_and_so_has_the_race() {
    let (told, _observing, root) = Recorder::begin();
    let refused = Candidate::new("refused", async { Ok(1) });
    let failed = Candidate::new("failed", async { Err(()) });
    within(
        root,
        run_until_first_complete([refused, failed])
            .accept(|_| false)
            .name("race"),
    )
    .await
    .unwrap_err();
    let lines = told.lines();
    for line in ["refused: Refused", "failed: Failed(None)"] {
        assert!(lines.contains(&line.into()), "{lines:?}");
    }
    assert_eq!(lines.last().unwrap(), "race: Failed(None)");
}

#[tokio::test(start_paused = true)]
async fn who_has_the_limit_has_timed_out_and_what_is_inside_is_cancelled() {
    let (told, _observing, root) = Recorder::begin();
    let own = Candidate::new("own", pending::<Result<u8, ()>>()).timeout(Duration::from_secs(1));
    let race = run_until_first_complete([own, Candidate::new("inside", pending())]);
    within(root, race.timeout(Duration::from_secs(2)).name("race"))
        .await
        .unwrap_err();
    let lines = told.lines();
    assert_eq!(
        lines[lines.len() - 3..],
        [
            "own: TimedOut",
            "inside: Cancelled(Deadline)",
            "race: TimedOut"
        ]
    );
}

#[tokio::test]
async fn a_fatal_error_cancels_the_others() {
    let (told, _observing, root) = Recorder::begin();
    let race = run_until_first_complete(candidates(Err("fatal")))
        .fatal(|_| true)
        .name("race");
    within(root, race).await.unwrap_err();
    let lines = told.lines();
    assert_eq!(
        lines[lines.len() - 3..],
        [
            "last: Failed(None)",
            "slow: Cancelled(SiblingFailed)",
            "race: Failed(None)"
        ]
    );
}

#[tokio::test]
async fn a_panic_says_whose_and_with_what() {
    let (told, _observing, root) = Recorder::begin();
    let panics = Candidate::new("panics", async { panic!("on purpose") });
    let race =
        run_until_first_complete([Candidate::new("slow", pending::<Result<u8, ()>>()), panics]);
    let race = race.name("race");
    assert!(tokio::spawn(within(root, race)).await.is_err());
    let lines = told.lines();
    assert_eq!(
        lines[lines.len() - 3..],
        [
            "panics: Panicked(\"on purpose\")",
            "slow: Cancelled(SiblingFailed)",
            "race: Panicked(\"on purpose\")"
        ]
    );
}

#[tokio::test]
async fn a_race_that_is_dropped_is_cancelled_with_all_in_it() {
    let (told, _observing, root) = Recorder::begin();
    let race = run_until_first_complete([Candidate::new("slow", pending::<Result<u8, ()>>())])
        .name("race");
    let mut running = Box::pin(within(root, race));
    tokio::select! {
        biased;
        _ = &mut running => unreachable!("it waits for ever"),
        () = std::future::ready(()) => {}
    }
    drop(running);
    let lines = told.lines();
    let ends = [
        "slow: Cancelled(OwnerDropped)",
        "race: Cancelled(OwnerDropped)",
    ];
    assert_eq!(lines[lines.len() - 2..], ends);
}

#[tokio::test]
async fn the_token_of_the_scope_says_why() {
    let (told, _observing, root) = Recorder::begin();
    let token = CancelToken::new();
    let scope = CancelScope::new(token.clone(), None);
    let running = tokio::spawn(within(
        root,
        scope.run(async {
            let slow = Candidate::new("slow", pending::<Result<u8, ()>>());
            run_until_first_complete([slow]).name("race").await
        }),
    ));
    tokio::task::yield_now().await;
    token.cancel(CancelReason::ClientDisconnected);
    assert!(running.await.unwrap().is_err());
    let lines = told.lines();
    let ends = [
        "slow: Cancelled(ClientDisconnected)",
        "race: Cancelled(ClientDisconnected)",
    ];
    assert_eq!(lines[lines.len() - 2..], ends);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_says_what_its_attempts_were() {
    let (told, _observing, root) = Recorder::begin();
    let hedge = Hedge::builder()
        .name("replica reads")
        .delay(Delay::Fixed(Duration::from_millis(10)))
        .build();
    let call = hedge.run(|attempt| async move {
        sleep(Duration::from_millis(if attempt.number == 1 {
            1_000
        } else {
            5
        }))
        .await;
        Ok::<_, ()>(attempt.number)
    });
    assert_eq!(within(root, call).await.unwrap(), 2);
    assert_eq!(
        told.lines(),
        [
            "replica reads: made as hedge",
            "replica reads: started",
            "attempt 1: made as attempt in replica reads",
            "attempt 2: made as attempt in replica reads",
            "attempt 1: started",
            "attempt 2: started",
            "attempt 2: Won",
            "attempt 1: Lost",
            "replica reads: Completed",
        ]
    );
}

#[tokio::test]
async fn a_hedge_is_alive_from_its_first_call_until_it_is_dropped() {
    fn alive() -> bool {
        observe::snapshot()
            .hedges
            .iter()
            .any(|hedge| hedge.name == "alive for a while")
    }
    let hedge = Hedge::builder().name("alive for a while").build();
    assert!(!alive());
    hedge.run(|_| async { Ok::<_, ()>(()) }).await.unwrap();
    assert!(alive());
    drop(hedge);
    assert!(!alive());
}
