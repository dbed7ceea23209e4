//! Who is polled when, and that no wake-up is lost.

use std::{
    future::{IntoFuture, poll_fn},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use futures_util::{FutureExt, task::noop_waker};
use nexios::{Candidate, Race, run_until_first_complete};
use tokio::{sync::oneshot, task::yield_now, time::sleep};

use super::{Log, busy, everywhere, ms, poll_once};

/// A wake-up polls everyone that runs once, the lowest in the list first, and nobody that has not started.
#[tokio::test(start_paused = true)]
async fn a_wake_up_polls_every_running_candidate_in_order() {
    let polls = Mutex::new(Vec::new());
    let counted = |index: usize, millis: u64| {
        let polls = &polls;
        async move {
            let mut work = Box::pin(sleep(ms(millis)));
            poll_fn(|cx| {
                polls.lock().unwrap().push(index);
                work.poll_unpin(cx)
            })
            .await;
            if index == 2 { Ok("done") } else { Err("no") }
        }
    };
    let race = run_until_first_complete([
        Candidate::new("10", counted(0, 10)),
        Candidate::new("20", counted(1, 20)),
        Candidate::new("30", counted(2, 30)),
        Candidate::new("after 15", counted(3, 1_000_000)).after(ms(15)),
        Candidate::new("reserve", counted(4, 1)).on_failure(),
    ])
    .timeout(ms(500));
    assert_eq!(race.await.unwrap(), "done");
    let wake_ups: [&[usize]; 5] = [&[0, 1, 2], &[0, 1, 2], &[1, 2, 3], &[1, 2, 3], &[2, 3]];
    assert_eq!(polls.into_inner().unwrap(), wake_ups.concat());
}

/// A lock held across an await by one candidate and wanted by another, pitfall 3.6: no candidate that runs is left
/// unpolled when it is woken, so the lock is given on.
#[tokio::test(start_paused = true)]
async fn a_candidate_that_holds_a_lock_is_never_parked() {
    let log = Log::new();
    let lock = tokio::sync::Mutex::new(());
    let locking = |name: &'static str, outcome: Result<&'static str, &'static str>| {
        let (lock, log) = (&lock, &log);
        Candidate::new(name, async move {
            let _guard = lock.lock().await;
            log.line(format!("{name} locks"));
            sleep(ms(10)).await;
            outcome
        })
    };
    let race = run_until_first_complete([
        locking("first", Err("first")),
        locking("second", Err("second")),
        locking("third", Ok("third")).after(ms(1)),
    ]);
    assert_eq!(race.await.unwrap(), "third");
    assert_eq!(
        log.lines(),
        ["0 first locks", "10 second locks", "20 third locks"]
    );
    assert!(lock.try_lock().is_ok(), "and the losers have given it back");
}

/// Pitfall 3.1: candidates run in the task of the race.
#[tokio::test(start_paused = true)]
async fn no_task_is_spawned() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let log = Log::new();
    let candidate = |name: &'static str, outcome| {
        let (work, metrics) = (log.work(name, 10, outcome), &metrics);
        Candidate::new(name, async move {
            let outcome = work.await;
            assert_eq!(metrics.num_alive_tasks(), before);
            outcome
        })
    };
    let race = run_until_first_complete([
        candidate("a", Err("a")),
        candidate("b", Ok("b")).after(ms(5)),
    ])
    .timeout(ms(50));
    assert_eq!(race.await.unwrap(), "b");
    assert_eq!(metrics.num_alive_tasks(), before);
}

#[tokio::test]
async fn a_candidate_that_wakes_itself_while_polled_is_polled_again() {
    let yields = |times: usize| async move {
        for _ in 0..times {
            yield_now().await;
        }
        Ok::<_, ()>(times)
    };
    let by_reference = async {
        let mut left = 10;
        poll_fn(|cx| {
            left -= 1;
            cx.waker().wake_by_ref();
            if left == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        Err(())
    };
    let won = run_until_first_complete([
        Candidate::new("by reference", by_reference),
        Candidate::new("three", yields(30)),
        Candidate::new("two", yields(20)),
    ])
    .await;
    assert_eq!(won.unwrap(), 20);
}

/// The race moves to another task: wake-ups follow the latest poll.
#[tokio::test]
async fn a_wake_up_reaches_the_task_that_polled_last() {
    let (send, receive) = oneshot::channel();
    let race = run_until_first_complete([
        Candidate::new("never", std::future::pending()),
        Candidate::new("channel", async { receive.await.map_err(|_| ()) }),
    ]);
    let mut race = race.into_future();
    assert!(
        race.poll_unpin(&mut std::task::Context::from_waker(&noop_waker()))
            .is_pending()
    );
    let moved = tokio::spawn(race);
    yield_now().await;
    send.send("moved").unwrap();
    assert_eq!(moved.await.unwrap().unwrap(), "moved");
}

/// RS-007, TO-012, HG-039: what is promised at compile time.
#[test]
fn races_are_send_and_debug() {
    fn assert_send<T: Send>(_: &T) {}
    let text = String::new();
    let race: Race<'_, &str, String> =
        run_until_first_complete([Candidate::new("a", async { Ok(&*text) })]);
    assert_send(&race);
    assert!(
        format!("{race:?}").contains(r#"waiting: [Candidate { name: "a", start: Together"#),
        "{race:?}"
    );
    let future = race.winner();
    assert_send(&future);
    assert_eq!(future.now_or_never().unwrap().unwrap().value, "");
}

/// RS-003, M: wake-ups from other threads, at every moment, are not lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_from_another_thread_is_lost() {
    let finished = Arc::new(AtomicUsize::new(0));
    for round in 0..1_000_usize {
        let candidates = (0..4).map(|index| {
            let (send, receive) = oneshot::channel();
            let (wake, woken) = oneshot::channel();
            tokio::spawn(async move {
                for _ in 0..(round + index) % 3 {
                    yield_now().await;
                }
                // The receiver may be gone: the race is over when the first success is in.
                let _ = wake.send(());
                yield_now().await;
                let _ = send.send(index);
            });
            Candidate::new("channel", async move {
                woken.await.map_err(|_| "lost")?;
                let value = receive.await.map_err(|_| "lost")?;
                if value == round % 4 {
                    Ok(value)
                } else {
                    Err("wrong")
                }
            })
        });
        let race = run_until_first_complete(candidates).into_future();
        let done = finished.clone();
        tokio::spawn(async move {
            assert_eq!(race.await.unwrap(), round % 4);
            done.fetch_add(1, Ordering::SeqCst);
        })
        .await
        .unwrap();
    }
    assert_eq!(finished.load(Ordering::SeqCst), 1_000);
}

/// RS-002, M: races dropped while their candidates are being woken; every candidate is gone when `drop` returns.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_dropped_in_the_middle_of_wake_ups_leaves_nobody() {
    let log = Log::new();
    for round in 0..1_000_usize {
        let (send, receive) = oneshot::channel::<()>();
        let (start, started) = oneshot::channel::<()>();
        let presence = log.clone();
        let mut race = run_until_first_complete([
            Candidate::new("channel", async move {
                let _presence = presence.enter("channel");
                receive.await.map_err(|_| "lost")?;
                std::future::pending::<Result<(), &str>>().await
            }),
            Candidate::new("never", std::future::pending()),
        ])
        .into_future();
        assert!(poll_once(&mut race).await.is_pending());
        let waking = tokio::spawn(async move {
            let _ = started.await;
            let _ = send.send(());
        });
        start.send(()).unwrap();
        if round % 2 == 0 {
            yield_now().await;
            let _ = poll_once(&mut race).await;
        }
        drop(race);
        assert_eq!(log.live(), 0);
        waking.await.unwrap();
    }
}

/// A loop over a full channel, say, that leaves nothing of the task's budget to a candidate behind it in the list.
#[test]
fn a_candidate_has_its_turns_beside_one_that_is_always_ready() {
    everywhere(|| async {
        let busy = |name| {
            Candidate::new(name, async {
                busy(ms(5_000)).await;
                Err(())
            })
        };
        let (send, receive) = oneshot::channel();
        send.send("channel").unwrap();
        let channel = Candidate::new("channel", async { receive.await.map_err(|_| ()) });
        let slow = Candidate::new("sleep", async {
            sleep(ms(10)).await;
            Ok("sleep")
        });
        let began = std::time::Instant::now();
        let race = run_until_first_complete([busy("first"), channel, busy("last")]);
        assert_eq!(race.await.unwrap(), "channel");
        let race = run_until_first_complete([busy("first"), busy("second"), slow.after(ms(10))]);
        assert_eq!(race.await.unwrap(), "sleep");
        assert!(began.elapsed() < ms(2_500), "{:?}", began.elapsed());
    });
}
