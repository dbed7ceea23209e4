//! `OnError::Continue`: a failed child leaves its siblings alone.

use nexios::{CancelReason, OnError, TaskGroup};

use super::logs::Log;
use super::probes::{
    Failed, Gauge, after, fails, group, millis, never, panic_text, panics, value, within,
};

fn collecting<'env>() -> TaskGroup<'env, Failed> {
    TaskGroup::builder().on_error(OnError::Continue).build()
}

/// TG-116, TG-125
#[tokio::test(start_paused = true)]
async fn siblings_of_a_failed_child_go_on_and_every_error_comes_out_of_its_handle() {
    let group = collecting();
    let outcome = group
        .run(async {
            let tasks = [
                group.spawn(fails(20, "slow")),
                group.spawn(value(50, ())),
                group.spawn(fails(10, "quick")),
                group.spawn(value(5, ())),
            ];
            Ok(futures_util::future::join_all(tasks).await)
        })
        .await
        .unwrap();
    let expected = [
        Err(Failed::With("slow")),
        Ok(()),
        Err(Failed::With("quick")),
        Ok(()),
    ];
    assert_eq!(outcome, expected);
    assert!(group.suppressed().is_empty(), "they were all handed out");
}

/// TG-125: a failure that nobody looks at does not fail the group either.
#[tokio::test(start_paused = true)]
async fn an_unseen_error_does_not_fail_the_group() {
    let group = collecting();
    let good = group.spawn(value(50, 7));
    drop(group.spawn(fails(10, "unseen")));
    assert_eq!(group.join().await, Ok(()));
    assert_eq!(good.await, Ok(7));
    assert_eq!(group.token().reason(), Some(CancelReason::Finished));
}

/// Unseen errors are logged once, at WARN, with the child's name; `E` need not be `Debug`.
#[tokio::test(start_paused = true)]
async fn an_unseen_error_is_logged_once_with_the_childs_name() {
    struct Opaque;
    impl From<nexios::Interrupted> for Opaque {
        fn from(_: nexios::Interrupted) -> Self {
            Opaque
        }
    }
    let (log, _guard) = Log::record();
    let group = TaskGroup::builder().on_error(OnError::Continue).build();
    drop(group.spawn_named("dropped handle", async { Err::<(), _>(Opaque) }));
    let kept = group.spawn_named("kept handle", async { Err::<(), _>(Opaque) });
    let seen = group.spawn_named("seen", async { Err::<(), _>(Opaque) });
    assert!(group.join().await.is_ok());
    assert!(seen.await.is_err());
    drop(kept);
    drop(group);
    assert_eq!(
        log.with(&["WARN", "dropped handle"]),
        1,
        "{:?}",
        log.lines()
    );
    assert_eq!(log.with(&["WARN", "kept handle"]), 1, "{:?}", log.lines());
    assert_eq!(log.with(&["seen"]), 0, "{:?}", log.lines());
}

/// TG-106: all handles, in spawn order, with their states at the deadline instead of one error.
#[tokio::test(start_paused = true)]
async fn at_the_deadline_each_handle_says_what_became_of_its_child() {
    let group = TaskGroup::builder()
        .on_error(OnError::Continue)
        .timeout(millis(30))
        .build();
    let tasks = [
        group.spawn(value(10, ())),
        group.spawn(fails(20, "own error")),
        group.spawn(never()),
    ];
    assert_eq!(
        within(1000, group.join()).await,
        Err(super::probes::too_late())
    );
    let states = futures_util::future::join_all(tasks).await;
    assert_eq!(
        states,
        [
            Ok(()),
            Err(Failed::With("own error")),
            Err(super::probes::too_late())
        ]
    );
}

/// TG-106: a stop rule of one's own, "after two failures".
#[tokio::test(start_paused = true)]
async fn a_stop_rule_is_written_in_the_body() {
    let gauge = Gauge::default();
    let group = collecting();
    let failures = group
        .run(async {
            let mut failures = 0;
            let tasks: Vec<_> = [(10, "one"), (20, "two"), (30, "three")]
                .into_iter()
                .map(|(ms, text)| group.spawn(gauge.hold(fails(ms, text))))
                .collect();
            for task in tasks {
                failures += usize::from(task.await.is_err());
                if failures == 2 {
                    group.cancel();
                    break;
                }
            }
            Ok(failures)
        })
        .await;
    assert_eq!(failures, Ok(2));
    assert_eq!(gauge.live(), 0);
}

/// A panic is no error that one could go on after.
#[tokio::test(start_paused = true)]
async fn a_panic_ends_the_group_here_too() {
    let gauge = Gauge::default();
    let group = collecting();
    group.spawn(gauge.hold(never::<()>()));
    group.spawn(fails(5, "error before"));
    group.spawn(panics(10, "beats it"));
    assert_eq!(panic_text(group.join()).await, "beats it");
    assert_eq!(gauge.live(), 0);
}

/// An error of the body cancels the children here as well (TG-086 is the same rule).
#[tokio::test(start_paused = true)]
async fn an_error_of_the_body_still_ends_the_group() {
    let gauge = Gauge::default();
    let group = collecting();
    group.spawn(gauge.hold(never::<()>()));
    let outcome: Result<(), _> = group
        .run(async {
            after(1).await;
            Err(Failed::With("body"))
        })
        .await;
    assert_eq!(outcome, Err(Failed::With("body")));
    assert_eq!(gauge.live(), 0);
}

/// TG-129: what one group went through does not show in the next.
#[tokio::test(start_paused = true)]
async fn a_second_group_starts_clean() {
    for round in 0..2 {
        let group = group();
        let outcome = group
            .run(async {
                if round == 0 {
                    group.spawn(fails(1, "round one"));
                }
                group.spawn(value(2, round)).await
            })
            .await;
        assert_eq!(outcome.is_err(), round == 0);
        assert_eq!(group.suppressed().len(), 0);
    }
}

/// TG-098: stop after the first completion, keeping its result.
#[tokio::test(start_paused = true)]
async fn stopping_after_the_first_completion_keeps_its_result() {
    let gauge = Gauge::default();
    let group = group();
    let first = group
        .run(async {
            let quick = group.spawn(value(10, "quick"));
            group.spawn(gauge.hold(never::<()>()));
            let first = quick.await?;
            group.cancel();
            Ok(first)
        })
        .await;
    assert_eq!(first, Ok("quick"));
    assert_eq!(gauge.live(), 0);
}
