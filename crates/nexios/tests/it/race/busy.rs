//! Limits and turns beside code that is always ready.

use std::{
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::Mutex,
    task::Poll,
    time::{Duration, Instant},
};

use nexios::{
    CancelReason, CancelScope, CancelToken, Candidate, RaceError, run_until_first_complete,
};
use tokio::{sync::oneshot, task::consume_budget};

use super::{busy, everywhere, kinds, ms};

/// How long the busy code would go on, and what is long before that.
const BUSY: Duration = ms(3_000);
const SOON: Duration = ms(1_000);

type Ends = Result<&'static str, RaceError<&'static str>>;

fn always_ready(name: &'static str) -> Candidate<'static, &'static str, &'static str> {
    Candidate::new(name, async {
        busy(BUSY).await;
        Ok("busy")
    })
}

fn never(name: &'static str) -> Candidate<'static, &'static str, &'static str> {
    Candidate::new(name, pending())
}

/// An answer that is on its way to a resource of tokio's.
fn answers(name: &'static str, after: Duration) -> Candidate<'static, &'static str, &'static str> {
    let (send, receive) = oneshot::channel();
    std::thread::spawn(move || {
        std::thread::sleep(after);
        // The race may be over.
        let _ = send.send(name);
    });
    Candidate::new(name, async { receive.await.map_err(|_| "lost") })
}

async fn in_time(race: impl Future<Output = Ends>) -> Ends {
    let began = Instant::now();
    let end = race.await;
    assert!(
        began.elapsed() < SOON,
        "{end:?} after {:?}",
        began.elapsed()
    );
    end
}

/// The same beside a neighbour that goes first in every poll.
async fn beside_a_busy_neighbour(race: impl Future<Output = Ends>) -> Ends {
    in_time(async {
        tokio::select! {
            biased;
            () = busy(BUSY) => panic!("the neighbour was faster"),
            end = race => end,
        }
    })
    .await
}

fn is_timeout(end: &Ends) -> bool {
    end.as_ref().is_err_and(RaceError::is_timeout)
}

#[test]
fn the_overall_limit_holds_beside_code_that_is_always_ready() {
    everywhere(|| async {
        let race =
            || run_until_first_complete([always_ready("busy"), never("never")]).timeout(ms(50));
        assert!(is_timeout(&in_time(race()).await));
        assert!(is_timeout(&beside_a_busy_neighbour(race()).await));
        let idle = run_until_first_complete([never("never")]).timeout(ms(50));
        assert!(is_timeout(&beside_a_busy_neighbour(idle).await));
    });
}

#[test]
fn a_candidates_own_limit_holds_although_it_is_always_ready() {
    everywhere(|| async {
        let end = in_time(run_until_first_complete([
            always_ready("busy").timeout(ms(50)),
            always_ready("also").timeout(ms(50)),
        ]));
        assert_eq!(
            kinds(&end.await.unwrap_err()),
            ["busy=timed out", "also=timed out"]
        );
        let end =
            beside_a_busy_neighbour(run_until_first_complete([never("idle").timeout(ms(50))]));
        assert_eq!(kinds(&end.await.unwrap_err()), ["idle=timed out"]);
    });
}

#[test]
fn a_delayed_candidate_starts_beside_code_that_is_always_ready() {
    everywhere(|| async {
        let backup = || Candidate::new("backup", async { Ok("backup") }).after(ms(50));
        let race = run_until_first_complete([always_ready("busy"), backup()]);
        assert_eq!(in_time(race).await.unwrap(), "backup");
        let race = run_until_first_complete([never("idle"), backup()]);
        assert_eq!(beside_a_busy_neighbour(race).await.unwrap(), "backup");
    });
}

#[test]
fn the_scope_ends_a_race_beside_code_that_is_always_ready() {
    everywhere(|| async {
        for neighbour in [false, true] {
            let race = || async move {
                match neighbour {
                    true => {
                        beside_a_busy_neighbour(run_until_first_complete([never("idle")])).await
                    }
                    false => in_time(run_until_first_complete([always_ready("busy")])).await,
                }
            };
            let deadline = tokio::time::Instant::now() + ms(50);
            let scope = CancelScope::new(CancelToken::new(), Some(deadline));
            assert!(is_timeout(&scope.run(race()).await));
            let token = CancelToken::new();
            let scope = CancelScope::new(token.clone(), None);
            std::thread::spawn(move || {
                std::thread::sleep(ms(50));
                token.cancel(CancelReason::ClientDisconnected);
            });
            let end = scope.run(race()).await;
            assert!(kinds(&end.unwrap_err())[0].ends_with("=cancelled"));
        }
    });
}

#[test]
fn a_candidate_that_is_always_ready_keeps_no_other_from_its_turn() {
    everywhere(|| async {
        let race = run_until_first_complete([always_ready("busy"), answers("honest", ms(50))]);
        assert_eq!(in_time(race).await.unwrap(), "honest");
        let race = run_until_first_complete([
            answers("first", ms(50)),
            always_ready("busy"),
            always_ready("also busy"),
            answers("last", ms(500)),
        ]);
        assert_eq!(in_time(race).await.unwrap(), "first");
        let race = run_until_first_complete([
            always_ready("busy"),
            always_ready("also busy"),
            never("idle"),
            answers("last", ms(50)),
        ]);
        assert_eq!(in_time(race).await.unwrap(), "last");
    });
}

/// Not cooperative: it spends no budget, but is ready to be polled at once, for ever.
#[test]
fn a_candidate_that_always_wakes_itself_keeps_nobody_from_a_turn() {
    everywhere(|| async {
        let restless = || {
            Candidate::new(
                "restless",
                poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    Poll::<Result<_, &str>>::Pending
                }),
            )
        };
        let race = run_until_first_complete([restless(), answers("honest", ms(50)), restless()]);
        assert_eq!(in_time(race).await.unwrap(), "honest");
        let race = run_until_first_complete([restless(), never("never")]).timeout(ms(50));
        assert!(is_timeout(&in_time(race).await));
        let task = tokio::spawn(async { tokio::time::sleep(ms(50)).await });
        let race = run_until_first_complete([
            restless(),
            Candidate::new("task", async {
                task.await.map(|()| "task").map_err(|_| "lost")
            }),
        ]);
        assert_eq!(
            in_time(race).await.unwrap(),
            "task",
            "other tasks have their turns as well"
        );
    });
}

/// Uses up the task's budget at its first poll, and is ready at the second.
async fn spends_all() {
    let mut spent = false;
    poll_fn(|cx| {
        if spent {
            return Poll::Ready(());
        }
        spent = true;
        while pin!(consume_budget()).poll(cx).is_ready() {}
        Poll::Pending
    })
    .await;
}

/// The order of the polls has turned, and still the lowest of those that finish in one poll decides.
#[tokio::test]
async fn out_of_turn_a_tie_goes_to_the_lowest_index_as_well() {
    let order = Mutex::new(Vec::new());
    let candidate = |index: usize, outcome: Result<usize, usize>| {
        let order = &order;
        Candidate::new(index.to_string(), async move {
            spends_all().await;
            order.lock().unwrap().push(index);
            outcome
        })
    };
    let discarded = Mutex::new(Vec::new());
    let won = run_until_first_complete([
        candidate(0, Ok(0)),
        candidate(1, Ok(1)),
        candidate(2, Err(2)),
    ])
    .on_discard(|value| discarded.lock().unwrap().push(value))
    .await;
    assert_eq!(
        (won.unwrap(), discarded.into_inner().unwrap()),
        (0, vec![1])
    );
    assert_eq!(*order.lock().unwrap(), [1, 2, 0]);
    let won = run_until_first_complete([candidate(0, Ok(0)), candidate(1, Err(1))])
        .first_completed()
        .await;
    assert_eq!(won.unwrap(), 0);
    let lost = run_until_first_complete([candidate(0, Err(0)), candidate(1, Ok(1))])
        .first_completed()
        .await;
    assert_eq!(kinds(&lost.unwrap_err()), ["0=failed", "1=cancelled"]);
}
