//! Tasks that are driven by whoever awaits them.

use std::pin::pin;

use futures_util::future::join;
use nexios::{CancelReason, Interrupted, TaskGroup, observe::WorkId};
use shuttle::{future::block_on, thread};

use crate::{
    channel::channel,
    check::{check, check_observed, poll_once},
    told::Told,
    witness::Witness,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Own,
    Interrupted(Interrupted),
}

impl From<Interrupted> for Failure {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

type Group = TaskGroup<'static, Failure>;

fn interrupted<T>(reason: CancelReason) -> Result<T, Failure> {
    Err(Failure::Interrupted(Interrupted::Cancelled(reason)))
}

#[test]
fn who_has_its_result_hands_the_driving_over() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let ((first, to_first), (second, to_second)) = (channel(), channel());
        let a = group.spawn(witness.child(async move { Ok(to_first.await) }));
        let b = group.spawn(witness.child(async move { Ok(to_second.await) }));
        let a = thread::spawn(move || block_on(a));
        let b = thread::spawn(move || block_on(b));
        first.send(1);
        second.send(2);
        assert_eq!(a.join().expect("no panic"), Ok(1));
        assert_eq!(b.join().expect("no panic"), Ok(2));
        witness.all_gone(2);
        drop(group);
        witness.all_gone(2);
    });
}

#[test]
fn who_goes_away_hands_the_driving_over() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let ((first, to_first), (second, to_second)) = (channel(), channel());
        let mut a = group.spawn(witness.child(async move { Ok(to_first.await) }));
        let b = group.spawn(witness.child(async move { Ok(to_second.await) }));
        let gone = thread::spawn(move || {
            let seen = block_on(poll_once(&mut a));
            assert!(seen.is_none_or(|seen| seen == Ok(1)));
        });
        let b = thread::spawn(move || block_on(b));
        first.send(1);
        second.send(2);
        gone.join().expect("no panic");
        assert_eq!(b.join().expect("no panic"), Ok(2));
        drop(group);
        witness.all_gone(2);
    });
}

#[test]
fn a_handle_that_moves_to_another_thread_gets_its_result() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let (sender, receiver) = channel();
        let mut child = group.spawn(witness.child(async move { Ok(receiver.await) }));
        let sending = thread::spawn(move || sender.send(1));
        let result = match block_on(poll_once(&mut child)) {
            Some(result) => result,
            None => thread::spawn(move || block_on(child))
                .join()
                .expect("no panic"),
        };
        assert_eq!(result, Ok(1));
        sending.join().expect("no panic");
        witness.all_gone(1);
        drop(group);
    });
}

#[test]
fn a_wake_at_the_end_of_a_turn_is_seen() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let ((first, to_first), (second, to_second)) = (channel(), channel());
        let child = group.spawn(witness.child(async move {
            let (first, second) = join(to_first, to_second).await;
            Ok(first + second)
        }));
        let driver = thread::spawn(move || block_on(child));
        let sender = thread::spawn(move || first.send(1));
        second.send(2);
        assert_eq!(driver.join().expect("no panic"), Ok(3));
        sender.join().expect("no panic");
        witness.all_gone(1);
        drop(group);
    });
}

#[test]
fn children_wake_one_another() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let ((ask, asked), (reply, replied), (start, started)) = (channel(), channel(), channel());
        let a = group.spawn(witness.child(async move {
            ask.send(started.await);
            Ok(replied.await)
        }));
        let b = group.spawn(witness.child(async move {
            reply.send(asked.await + 1);
            Ok(())
        }));
        let a = thread::spawn(move || block_on(a));
        let b = thread::spawn(move || block_on(b));
        start.send(1);
        assert_eq!(a.join().expect("no panic"), Ok(2));
        assert_eq!(b.join().expect("no panic"), Ok(()));
        witness.all_gone(2);
        drop(group);
    });
}

#[test]
fn a_dropped_group_waits_for_the_poll_of_another_thread() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let (sender, receiver) = channel();
        let child = group.spawn(witness.child(async move { Ok(receiver.await) }));
        drop(group.spawn(witness.child(std::future::pending::<Result<(), Failure>>())));
        let driver = thread::spawn(move || block_on(child));
        let sender = thread::spawn(move || sender.send(1));
        drop(group);
        witness.all_gone(2);
        let result = driver.join().expect("no panic");
        assert!(
            result == Ok(1) || result == interrupted(CancelReason::OwnerDropped),
            "{result:?}"
        );
        sender.join().expect("no panic");
    });
}

#[test]
fn a_dropped_run_waits_for_the_poll_of_another_thread() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let (sender, receiver) = channel();
        let child = group.spawn(witness.child(async move { Ok(receiver.await) }));
        let driver = thread::spawn(move || block_on(child));
        let sender = thread::spawn(move || sender.send(1));
        {
            let mut run = Box::pin(group.run(std::future::pending::<Result<(), Failure>>()));
            assert_eq!(block_on(poll_once(&mut run)), None);
        }
        witness.all_gone(1);
        let result = driver.join().expect("no panic");
        assert!(
            result == Ok(1) || result == interrupted(CancelReason::OwnerDropped),
            "{result:?}"
        );
        sender.join().expect("no panic");
        drop(group);
    });
}

#[test]
fn a_dropped_group_waits_for_the_destructor_on_another_thread() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let child = group.spawn(witness.child(std::future::pending::<Result<(), Failure>>()));
        let cancelling = thread::spawn(move || child.cancel());
        drop(group);
        witness.all_gone(1);
        cancelling.join().expect("no panic");
    });
}

#[test]
fn run_waits_for_the_destructor_on_another_thread() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let child = group.spawn(witness.child(std::future::pending::<Result<(), Failure>>()));
        let cancelling = thread::spawn(move || child.cancel());
        assert_eq!(block_on(group.run(async { Ok(1) })), Ok(1));
        witness.all_gone(1);
        cancelling.join().expect("no panic");
        drop(group);
    });
}

#[test]
fn a_cancelled_child_ends_once() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let ((first, to_first), (second, to_second)) = (channel(), channel());
        let a = group.spawn(witness.child(async move { Ok(to_first.await) }));
        let b = group.spawn(witness.child(async move { Ok(to_second.await) }));
        let cancelling = thread::spawn(move || {
            a.cancel();
            block_on(a)
        });
        let b = thread::spawn(move || block_on(b));
        first.send(1);
        second.send(2);
        let result = cancelling.join().expect("no panic");
        assert!(
            result == Ok(1) || result == interrupted(CancelReason::Requested),
            "{result:?}"
        );
        assert_eq!(b.join().expect("no panic"), Ok(2));
        witness.all_gone(2);
        drop(group);
    });
}

#[test]
fn a_cancelled_child_gives_its_place_to_the_next() {
    check(|| {
        let witness = Witness::default();
        let group: Group = TaskGroup::builder().limit(1).build();
        let (sender, receiver) = channel();
        let a = group.spawn(witness.child(std::future::pending::<Result<(), Failure>>()));
        let b = group.spawn(witness.child(async move { Ok(receiver.await) }));
        let cancelling = thread::spawn(move || a.cancel());
        let b = thread::spawn(move || block_on(b));
        sender.send(2);
        assert_eq!(b.join().expect("no panic"), Ok(2));
        cancelling.join().expect("no panic");
        witness.all_gone(2);
        drop(group);
    });
}

#[test]
fn a_cancelled_group_returns_what_its_body_returns() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let (sender, receiver) = channel();
        let child = group.spawn(witness.child(async move { Ok(receiver.await) }));
        let spawner = group.spawner();
        let run = thread::spawn(move || block_on(group.run(async { Ok(5) })));
        let foreign = thread::spawn(move || block_on(child));
        let cancelling = thread::spawn(move || spawner.cancel());
        sender.send(1);
        assert_eq!(run.join().expect("no panic"), Ok(5));
        witness.all_gone(1);
        cancelling.join().expect("no panic");
        let result = foreign.join().expect("no panic");
        assert!(
            result == Ok(1) || result == interrupted(CancelReason::Requested),
            "{result:?}"
        );
    });
}

#[test]
fn a_failure_is_seen_by_one_of_two_threads() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let (sender, receiver) = channel();
        let failing = group.spawn(witness.child(async move {
            receiver.await;
            Err::<(), _>(Failure::Own)
        }));
        let sibling = group.spawn(witness.child(std::future::pending::<Result<(), Failure>>()));
        let failing = thread::spawn(move || block_on(failing));
        let sibling = thread::spawn(move || block_on(sibling));
        sender.send(());
        let results = [
            failing.join().expect("no panic"),
            sibling.join().expect("no panic"),
        ];
        let other = interrupted(CancelReason::SiblingFailed);
        assert!(
            results == [Err(Failure::Own), other] || results == [other, Err(Failure::Own)],
            "{results:?}"
        );
        witness.all_gone(2);
        drop(group);
    });
}

#[test]
fn a_child_spawned_at_the_end_of_run_is_waited_for_or_refused() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let spawner = group.spawner();
        let late = witness.clone();
        let spawning = thread::spawn(move || {
            let child = spawner.spawn(late.child(async { Ok(7) }));
            block_on(child)
        });
        assert_eq!(block_on(group.run(async { Ok(1) })), Ok(1));
        let result = spawning.join().expect("no panic");
        assert!(
            result == Ok(7) || result == interrupted(CancelReason::Finished),
            "{result:?}"
        );
        witness.all_gone(1);
        drop(group);
    });
}

#[test]
fn a_child_spawned_while_its_group_is_dropped_is_gone() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        drop(group.spawn(witness.child(std::future::pending::<Result<(), Failure>>())));
        let spawner = group.spawner();
        let late = witness.clone();
        let spawning = thread::spawn(move || {
            let child = spawner.spawn(late.child(async { Ok(7) }));
            block_on(child)
        });
        drop(group);
        let result = spawning.join().expect("no panic");
        assert!(
            result == Ok(7) || result == interrupted(CancelReason::OwnerDropped),
            "{result:?}"
        );
        witness.all_gone(2);
    });
}

#[test]
fn a_child_without_a_handle_is_driven_by_who_waits() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let (sender, receiver) = channel();
        let waiting = group.spawn(witness.child(async move { Ok(receiver.await) }));
        let waiting = thread::spawn(move || block_on(waiting));
        drop(group.spawn(witness.child(async move {
            sender.send(3);
            Ok(())
        })));
        assert_eq!(waiting.join().expect("no panic"), Ok(3));
        drop(group);
        witness.all_gone(2);
    });
}

#[test]
fn run_goes_on_when_another_thread_drives() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let ((first, to_child), (second, to_body)) = (channel(), channel());
        let child = group.spawn(witness.child(async move { Ok(to_child.await) }));
        let foreign = thread::spawn(move || block_on(child));
        let sending = thread::spawn(move || first.send(1));
        let body = thread::spawn(move || second.send(2));
        assert_eq!(block_on(group.run(async move { Ok(to_body.await) })), Ok(2));
        witness.all_gone(1);
        assert_eq!(foreign.join().expect("no panic"), Ok(1));
        sending.join().expect("no panic");
        body.join().expect("no panic");
        drop(group);
    });
}

#[test]
fn run_that_ends_tells_a_thread_that_waits() {
    check(|| {
        let witness = Witness::default();
        let group = Group::new();
        let (sender, receiver) = channel();
        let child = group.spawn(witness.child(std::future::pending::<Result<(), Failure>>()));
        let foreign = thread::spawn(move || block_on(child));
        let sending = thread::spawn(move || sender.send(()));
        let result = block_on(group.run(async move {
            receiver.await;
            Err::<(), _>(Failure::Own)
        }));
        assert_eq!(result, Err(Failure::Own));
        witness.all_gone(1);
        assert_eq!(
            foreign.join().expect("no panic"),
            interrupted(CancelReason::SiblingFailed)
        );
        sending.join().expect("no panic");
        drop(group);
    });
}

#[test]
fn a_late_wake_of_an_earlier_group_harms_no_later_one() {
    check(|| {
        let witness = Witness::default();
        let earlier = Group::new();
        let (late, to_earlier) = channel();
        let mut child = earlier.spawn(witness.child(async move { Ok(to_earlier.await) }));
        let seen = block_on(poll_once(&mut child));
        assert_eq!(seen, None);
        let waking = thread::spawn(move || late.send(1));
        drop(child);
        drop(earlier);
        let later = Group::new();
        let (sender, receiver) = channel();
        let child = later.spawn(witness.child(async move { Ok(receiver.await) }));
        let sending = thread::spawn(move || sender.send(2));
        let mut child = pin!(child);
        assert_eq!(block_on(child.as_mut()), Ok(2));
        waking.join().expect("no panic");
        sending.join().expect("no panic");
        drop(later);
        witness.all_gone(2);
    });
}

/// tokio's runtime is a coroutine of the model here: nothing of it may wait for good.
#[test]
fn a_parallel_child_that_ends_as_its_group_is_dropped_has_one_end_and_in_the_right_order() {
    check_observed(|| {
        let (told, observing) = Told::begin();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("it needs nothing");
        let group = Group::new();
        let entered = runtime.enter();
        let child = group.spawn_parallel(async {
            shuttle::future::yield_now().await;
            Ok(1)
        });
        drop(entered);
        let id = WorkId(child.id());
        let driver = thread::spawn(move || {
            runtime.block_on(async {
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
            });
            // What is left of the child goes with it.
            drop(runtime);
        });
        drop(child);
        drop(group);
        driver.join().expect("no panic");
        let all = told.all();
        let lines = told.of(id);
        let ends = |what: &&&str| matches!(**what, "completed" | "cancelled");
        assert_eq!(lines[0], "made", "{lines:?}");
        assert_eq!(lines.iter().filter(ends).count(), 1, "{lines:?}");
        assert!(lines.last().is_some_and(|last| ends(&last)), "{lines:?}");
        for once in ["started", "cancelling", "adopted"] {
            let times = lines.iter().filter(|what| **what == once).count();
            assert!(times <= 1, "{lines:?}");
        }
        // The first is the group's, and so is the end of it.
        let the_group = all[0].0;
        let end_of = |id| {
            all.iter()
                .position(|(of, what)| *of == id && ends(&what))
                .expect("it has ended")
        };
        assert!(
            end_of(id) < end_of(the_group) || lines.contains(&"adopted"),
            "{all:?}"
        );
        drop(observing);
    });
}
