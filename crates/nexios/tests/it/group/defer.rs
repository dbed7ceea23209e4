//! Finalizers: once, on every way out, last in first out.

use std::{
    future::{Future, pending, poll_fn},
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use futures_util::{FutureExt, future::poll_immediate};
use nexios::{CancelReason, OnError, TaskGroup};
use tokio::time::Instant;
use tracing::Level;

use super::logs::Logs;
use super::probes::{Diary, Failed, OnDrop, after, bounded, count, millis, settle, too_late};

fn noted(diary: &Arc<Diary>, what: &'static str) -> impl Future<Output = ()> + Send + use<> {
    let diary = diary.clone();
    async move {
        after(1).await;
        diary.note(what);
    }
}

fn text_of(payload: Box<dyn std::any::Any + Send>) -> &'static str {
    *payload.downcast::<&'static str>().expect("another payload")
}

#[tokio::test(start_paused = true)]
async fn finalizers_run_one_after_another_the_last_first() {
    let begun = Instant::now();
    let diary = Arc::new(Diary::default());
    let group = TaskGroup::<Failed>::new();
    group.defer(noted(&diary, "one"));
    let outcome = bounded(group.run(async {
        group.defer(noted(&diary, "two"));
        after(10).await;
        group.defer(noted(&diary, "three"));
        Ok(7)
    }))
    .await;
    assert_eq!(outcome, Ok(7));
    assert_eq!(diary.pages(), ["three", "two", "one"]);
    assert_eq!(
        begun.elapsed(),
        millis(13),
        "run returns after the last of them"
    );
    assert_eq!(
        bounded(group.join()).await.unwrap_err(),
        super::probes::cancelled(CancelReason::Finished)
    );
    assert_eq!(diary.pages().len(), 3, "once");
}

/// TG-148, TG-149: whatever ends the group, children are gone first, then finalizers run, then `run` answers.
#[tokio::test(start_paused = true)]
async fn finalizers_run_on_every_way_out_after_the_children_are_gone() {
    for way in [
        "finished",
        "failed",
        "body failed",
        "late",
        "cancelled",
        "panicked",
    ] {
        let diary = Arc::new(Diary::default());
        let group = TaskGroup::builder().timeout(millis(50)).build();
        group.defer(noted(&diary, "first"));
        group.defer(noted(&diary, "second"));
        let child = diary.clone();
        let run = group.run(async {
            group.spawn(async move {
                let _mark = child.at_drop("child");
                match way {
                    "finished" | "body failed" => after(5).await,
                    "failed" => return Err(Failed::With("child")),
                    "panicked" => panic!("child"),
                    _ => pending().await,
                }
                Ok(())
            });
            after(1).await;
            match way {
                "body failed" => return Err(Failed::With("body")),
                "cancelled" => group.cancel(),
                "late" => pending().await,
                _ => {}
            }
            Ok(())
        });
        let outcome = bounded(AssertUnwindSafe(run).catch_unwind()).await;
        match (way, outcome) {
            ("panicked", outcome) => assert_eq!(text_of(outcome.unwrap_err()), "child"),
            ("failed", outcome) => assert_eq!(outcome.unwrap(), Err(Failed::With("child"))),
            ("body failed", outcome) => assert_eq!(outcome.unwrap(), Err(Failed::With("body"))),
            ("late", outcome) => assert_eq!(outcome.unwrap(), Err(too_late())),
            (_, outcome) => assert_eq!(outcome.unwrap(), Ok(())),
        }
        assert_eq!(diary.pages(), ["child", "second", "first"], "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn finalizers_run_when_the_scope_is_cancelled() {
    let diary = Arc::new(Diary::default());
    let token = nexios::CancelToken::new();
    let group = TaskGroup::<Failed>::builder_under(&token);
    group.defer(noted(&diary, "finalizer"));
    let fire = async {
        after(10).await;
        token.cancel(CancelReason::ClientDisconnected);
    };
    let (outcome, ()) =
        bounded(async { tokio::join!(group.run(pending::<Result<(), _>>()), fire) }).await;
    assert_eq!(
        outcome,
        Err(super::probes::cancelled(CancelReason::ClientDisconnected))
    );
    assert_eq!(diary.pages(), ["finalizer"]);
}

trait Under {
    fn builder_under(token: &nexios::CancelToken) -> Self;
}

impl Under for TaskGroup<'_, Failed> {
    fn builder_under(token: &nexios::CancelToken) -> Self {
        TaskGroup::builder().parent(token).build()
    }
}

/// The token has fired and spawning is refused by then: finalizers are no place to start work in the group.
#[tokio::test(start_paused = true)]
async fn the_group_is_closed_when_finalizers_run() {
    let seen = Arc::new(AtomicBool::new(false));
    let group = TaskGroup::<Failed>::new();
    let (spawner, token, saw) = (group.spawner(), group.token(), seen.clone());
    group.defer(async move {
        assert_eq!(token.reason(), Some(CancelReason::Finished));
        let refused = spawner.spawn(async { Ok(()) });
        assert!(refused.is_finished());
        assert!(refused.await.is_err());
        saw.store(true, Ordering::SeqCst);
    });
    assert_eq!(bounded(group.join()).await, Ok(()));
    assert!(seen.load(Ordering::SeqCst));
}

/// A finalizer is not cut by the deadline that ended the group, nor by the grace.
#[tokio::test(start_paused = true)]
async fn a_finalizer_has_no_deadline_but_its_own() {
    let begun = Instant::now();
    let diary = Arc::new(Diary::default());
    let group = TaskGroup::builder()
        .timeout(millis(10))
        .grace(millis(5))
        .build();
    let done = diary.clone();
    group.defer(async move {
        after(1_000).await;
        done.note("done");
    });
    group.spawn(pending::<Result<(), Failed>>());
    assert_eq!(bounded(group.join()).await, Err(too_late()));
    assert_eq!(diary.pages(), ["done"]);
    assert_eq!(begun.elapsed(), millis(1_015));
}

#[tokio::test(start_paused = true)]
async fn a_panicking_finalizer_does_not_stop_the_others_and_resumes() {
    let (logs, _guard) = Logs::capture();
    let diary = Arc::new(Diary::default());
    let group = TaskGroup::<Failed>::new();
    group.defer(noted(&diary, "first"));
    group.defer(async { panic!("later") });
    group.defer(noted(&diary, "second"));
    group.defer(async { panic!("earlier") });
    group.defer(noted(&diary, "third"));
    let payload = bounded(AssertUnwindSafe(group.join()).catch_unwind())
        .await
        .unwrap_err();
    assert_eq!(text_of(payload), "earlier");
    assert_eq!(diary.pages(), ["third", "second", "first"]);
    let logged = logs.at(Level::ERROR);
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert!(logged[1].text.contains("later"), "{logged:?}");
}

#[tokio::test(start_paused = true)]
async fn a_childs_panic_comes_before_a_finalizers() {
    let group = TaskGroup::<Failed>::new();
    group.defer(async { panic!("finalizer") });
    group.spawn(async { if true { panic!("child") } else { Ok(()) } });
    let payload = bounded(AssertUnwindSafe(group.join()).catch_unwind())
        .await
        .unwrap_err();
    assert_eq!(text_of(payload), "child");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_destructor_of_a_finalizer_does_not_stop_the_others() {
    let diary = Arc::new(Diary::default());
    let group = TaskGroup::<Failed>::new();
    group.defer(noted(&diary, "first"));
    let bomb = OnDrop(|| panic!("destructor"));
    group.defer(async move {
        let _bomb = &bomb;
        after(1).await;
    });
    let payload = bounded(AssertUnwindSafe(group.join()).catch_unwind())
        .await
        .unwrap_err();
    assert_eq!(text_of(payload), "destructor");
    assert_eq!(diary.pages(), ["first"]);
}

/// The client is gone: the handler's future is dropped, its cleanup happens all the same.
#[tokio::test(start_paused = true)]
async fn finalizers_of_a_dropped_run_go_on_in_the_background_in_order() {
    let diary = Arc::new(Diary::default());
    let group = TaskGroup::<Failed>::new();
    group.defer(noted(&diary, "first"));
    group.defer(noted(&diary, "second"));
    let child = diary.clone();
    group.spawn(async move {
        let _mark = child.at_drop("child");
        pending::<Result<(), _>>().await
    });
    assert!(poll_immediate(pin!(group.join())).await.is_none());
    assert_eq!(
        diary.pages(),
        ["child"],
        "finalizers need time of their own"
    );
    after(10).await;
    assert_eq!(diary.pages(), ["child", "second", "first"]);
    drop(group);
    after(10).await;
    assert_eq!(diary.pages().len(), 3, "once");
}

#[tokio::test(start_paused = true)]
async fn finalizers_of_a_group_that_never_ran_are_not_lost() {
    let diary = Arc::new(Diary::default());
    let group = TaskGroup::<Failed>::new();
    group.defer(noted(&diary, "finalizer"));
    drop(group);
    after(10).await;
    assert_eq!(diary.pages(), ["finalizer"]);
}

/// TG-152: the half that is done was cleaned up, the one under way is continued where it was, the rest follows.
#[tokio::test(start_paused = true)]
async fn a_finalizer_cut_midway_is_continued_and_not_restarted() {
    let diary = Arc::new(Diary::default());
    let polls = Arc::new(AtomicUsize::new(0));
    let group = TaskGroup::<Failed>::new();
    group.defer(noted(&diary, "first"));
    let (middle, counted) = (diary.clone(), polls.clone());
    group.defer(async move {
        middle.note("begins");
        counted.fetch_add(1, Ordering::SeqCst);
        after(100).await;
        middle.note("ends");
    });
    group.defer(noted(&diary, "third"));
    let begun = Instant::now();
    assert!(
        tokio::time::timeout(millis(50), group.join())
            .await
            .is_err()
    );
    assert_eq!(diary.pages(), ["third", "begins"]);
    settle().await;
    after(100).await;
    assert_eq!(diary.pages(), ["third", "begins", "ends", "first"]);
    assert_eq!(count(&polls), 1);
    assert!(begun.elapsed() <= millis(150));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_background_finalizer_does_not_stop_the_others() {
    let (logs, _guard) = Logs::capture();
    let diary = Arc::new(Diary::default());
    let group = TaskGroup::<Failed>::new();
    group.defer(noted(&diary, "first"));
    group.defer(async { panic!("background") });
    drop(group);
    after(10).await;
    assert_eq!(diary.pages(), ["first"]);
    assert!(
        logs.at(Level::ERROR)
            .iter()
            .any(|event| event.text.contains("background"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_added_to_a_group_that_has_ended_runs_at_once() {
    for run in [true, false] {
        let diary = Arc::new(Diary::default());
        let group = TaskGroup::<Failed>::new();
        if run {
            bounded(group.join()).await.unwrap();
        } else {
            let task = group.spawn(async { Err::<(), _>(Failed::With("first")) });
            bounded(task).await.unwrap_err();
        }
        group.defer(noted(&diary, "late"));
        after(10).await;
        assert_eq!(diary.pages(), ["late"]);
    }
}

/// A child may add one while the group ends around it, and its destructor too.
#[tokio::test(start_paused = true)]
async fn a_finalizer_added_while_the_group_ends_is_not_lost() {
    let diary = Arc::new(Diary::default());
    let group = Arc::new(TaskGroup::<Failed>::new());
    let (weak, late) = (Arc::downgrade(&group), diary.clone());
    group.spawn(async move {
        let _at_end = OnDrop(|| {
            if let Some(group) = weak.upgrade() {
                group.defer(noted(&late, "from a destructor"));
            }
        });
        pending::<Result<(), _>>().await
    });
    group.defer(noted(&diary, "first"));
    let outcome: Result<(), _> = bounded(group.run(async {
        after(5).await;
        Err(Failed::With("body"))
    }))
    .await;
    assert_eq!(outcome, Err(Failed::With("body")));
    after(10).await;
    assert_eq!(diary.pages(), ["from a destructor", "first"]);
}

/// With no runtime left there is nobody to run them: nothing panics, and the loss is logged.
#[test]
fn without_a_runtime_dropping_does_not_panic_and_the_loss_is_logged() {
    let (logs, _guard) = Logs::capture();
    let freed = Arc::new(());
    let group = TaskGroup::<Failed>::new();
    for _ in 0..2 {
        let held = freed.clone();
        group.defer(async move { drop(held) });
    }
    drop(group);
    assert_eq!(Arc::strong_count(&freed), 1);
    let logged = logs.at(Level::ERROR);
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].text.contains("count=2"), "{logged:?}");
}

/// RS-006: the same when the runtime itself takes its tasks down, groups with finalizers among them.
#[test]
fn a_runtime_that_shuts_down_drops_groups_with_finalizers_without_a_panic() {
    let panicked = Arc::new(AtomicBool::new(false));
    let freed = Arc::new(());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (noticed, held) = (panicked.clone(), freed.clone());
    runtime.spawn(async move {
        let _at_end = OnDrop(move || noticed.store(std::thread::panicking(), Ordering::SeqCst));
        let group = TaskGroup::<Failed>::new();
        group.defer(async move { drop(held) });
        group.spawn(pending::<Result<(), _>>());
        group.join().await
    });
    runtime.block_on(settle());
    drop(runtime);
    assert!(!panicked.load(Ordering::SeqCst));
    assert_eq!(Arc::strong_count(&freed), 1);
}

/// Without a runtime a finalizer that needs none runs in `run` itself.
#[test]
fn in_run_finalizers_need_no_runtime() {
    let done = Arc::new(AtomicUsize::new(0));
    let group = TaskGroup::<Failed>::new();
    let counted = done.clone();
    group.defer(async move {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let mut join = pin!(group.join());
    assert_eq!(
        join.as_mut().poll(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(Ok(()))
    );
    assert_eq!(count(&done), 1);
}

/// The first cause and its result stand, whatever happens while finalizers run.
#[tokio::test(start_paused = true)]
async fn a_cancel_during_the_finalizers_changes_nothing() {
    let group = Arc::new(TaskGroup::<Failed>::new());
    let weak = Arc::downgrade(&group);
    group.defer(async move {
        after(5).await;
        if let Some(group) = weak.upgrade() {
            group.cancel();
        }
    });
    assert_eq!(bounded(group.run(async { Ok(1) })).await, Ok(1));
    assert_eq!(group.token().reason(), Some(CancelReason::Finished));
}

/// Under `Continue` as well.
#[tokio::test(start_paused = true)]
async fn a_failed_child_under_continue_does_not_start_the_finalizers() {
    let diary = Arc::new(Diary::default());
    let group = TaskGroup::builder().on_error(OnError::Continue).build();
    group.defer(noted(&diary, "finalizer"));
    let outcome = bounded(group.run(async {
        let failed = group.spawn(async { Err::<(), _>(Failed::With("child")) });
        assert_eq!(failed.await, Err(Failed::With("child")));
        after(50).await;
        assert_eq!(diary.pages(), [""; 0]);
        Ok(())
    }))
    .await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(diary.pages(), ["finalizer"]);
}

/// Handles tell their awaiters at the end of the children, not after the finalizers.
#[tokio::test(start_paused = true)]
async fn a_finalizer_that_is_never_woken_keeps_nobody_from_the_results() {
    let group = TaskGroup::<Failed>::new();
    group.defer(poll_fn(|_| Poll::Pending));
    let task = group.spawn(async { Ok(1) });
    let mut join = pin!(group.join());
    assert!(poll_immediate(join.as_mut()).await.is_none());
    assert_eq!(bounded(task).await, Ok(1));
}

/// With a runtime that ends and without one.
#[test]
fn groups_that_finalizers_own_may_be_dropped_in_a_chain_of_any_length() {
    let chain = || {
        (0..100_000).fold(TaskGroup::<Failed>::new(), |inner, _| {
            let outer = TaskGroup::new();
            outer.defer(async move { drop(inner) });
            outer
        })
    };
    let small = std::thread::Builder::new().stack_size(512 * 1024);
    let dropped = small.spawn(move || {
        drop(chain());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async { drop(chain()) });
    });
    dropped.unwrap().join().unwrap();
}
