//! Who is told.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use nexios::observe::{self, Observer, Observing, Outcome, Update, Work, WorkId};

use super::recorder::Recorder;
use crate::lines::Lines;

#[test]
fn whoever_comes_later_hears_nothing_of_earlier_work() {
    let (told, _observing, root) = Recorder::begin();
    let early = root.scope(|| observe::custom("early"));
    let late = Arc::new(Counting::of(early.id().unwrap()));
    let _late = observe::observe(late.clone());
    drop(early);
    assert_eq!(told.lines().last().unwrap(), "early: Completed");
    assert_eq!(late.calls.load(Ordering::Relaxed), 0);
}

#[test]
fn whoever_has_left_hears_no_end() {
    let (told, observing, root) = Recorder::begin();
    let one = root.scope(|| observe::custom("one"));
    drop(observing);
    drop(one);
    assert_eq!(told.lines(), ["one: made as custom", "one: started"]);
}

#[test]
fn several_observe_at_a_time() {
    let (first, _first, root) = Recorder::begin();
    let (second, second_observes) = Recorder::beside(&root);
    let work = root.scope(|| observe::custom("one"));
    work.update(&Update::Message("for both"));
    drop(second_observes);
    work.end(&Outcome::Failed(None));
    let until_it_left = [
        "one: made as custom",
        "one: started",
        "one: Message(\"for both\")",
    ];
    assert_eq!(second.lines(), until_it_left);
    let lines = first.lines();
    let (begin, end) = lines.split_at(until_it_left.len());
    assert_eq!(begin, until_it_left);
    assert_eq!(end, ["one: Failed(None)"]);
}

#[test]
fn an_observer_that_panics_is_detached_and_logged_once_and_nothing_else_notices() {
    struct Panics(AtomicU64);
    impl Observer for Panics {
        fn made(&self, work: &Work<'_>) {
            if work.name == "for the one that panics" {
                self.0.fetch_add(1, Ordering::Relaxed);
                panic!("on purpose");
            }
        }
    }
    let panics = Arc::new(Panics(AtomicU64::new(0)));
    let observing = observe::observe(panics.clone());
    let (told, _observing, root) = Recorder::begin();
    let (lines, _capturing) = Lines::capture();
    for _ in 0..3 {
        root.scope(|| drop(observe::custom("for the one that panics")));
    }
    assert_eq!(panics.0.load(Ordering::Relaxed), 1);
    assert_eq!(
        lines.take(),
        ["ERROR : an observer panicked and is detached"]
    );
    assert_eq!(told.lines().len(), 9);
    // Work of other tests may be telling it something at this moment.
    while Arc::strong_count(&panics) > 1 {
        thread::yield_now();
    }
    assert_eq!(format!("{observing:?}"), "Observing { attached: false }");
}

#[test]
fn an_observer_may_observe_detach_make_work_and_look_around_within_a_call() {
    #[derive(Default)]
    struct Busy {
        own: Mutex<Option<Observing>>,
        done: AtomicBool,
    }
    impl Observer for Busy {
        fn made(&self, work: &Work<'_>) {
            if work.name != "for the busy one" {
                return;
            }
            drop(observe::observe(Arc::new(Nothing)));
            drop(observe::custom("made by an observer"));
            let _ = observe::snapshot();
            drop(self.own.lock().unwrap().take());
            self.done.store(true, Ordering::Relaxed);
        }
    }
    let busy = Arc::new(Busy::default());
    *busy.own.lock().unwrap() = Some(observe::observe(busy.clone()));
    drop(observe::custom("for the busy one"));
    assert!(busy.done.load(Ordering::Relaxed));
}

#[test]
fn no_call_begins_after_it_was_detached() {
    for _ in 0..1_000 {
        let late = Arc::new(Late::default());
        let observing = observe::observe(late.clone());
        thread::scope(|scope| {
            let work = scope.spawn(|| {
                for _ in 0..20 {
                    drop(observe::custom("one of many"));
                }
            });
            drop(observing);
            late.detached.store(true, Ordering::SeqCst);
            work.join().unwrap();
        });
        assert!(!late.called_late.load(Ordering::SeqCst));
        assert_eq!(Arc::strong_count(&late), 1, "nothing keeps it");
    }
}

#[test]
fn work_that_lives_on_does_not_keep_an_observer_that_has_left() {
    let observer = Arc::new(Nothing);
    let observing = observe::observe(observer.clone());
    let work = observe::custom("long");
    drop(observing);
    assert_eq!(Arc::strong_count(&observer), 1);
    drop(work);
}

#[test]
fn an_observer_whose_destructor_panics_harms_nobody() {
    struct PanicsInDrop;
    impl Observer for PanicsInDrop {}
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let observing = observe::observe(Arc::new(PanicsInDrop));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(observing))).is_ok());
}

#[test]
fn work_on_a_thread_that_ends_is_still_told() {
    thread_local! {
        static LAST: OnceLock<observe::CustomWork> = const { OnceLock::new() };
    }
    let (told, _observing, root) = Recorder::begin();
    let work = root.scope(|| observe::custom("one"));
    thread::spawn(move || LAST.with(|last| last.set(work).is_ok()))
        .join()
        .unwrap();
    assert_eq!(told.lines().last().unwrap(), "one: Completed");
}

struct Nothing;
impl Observer for Nothing {}

/// Counts what is said of one piece of work.
struct Counting {
    work: WorkId,
    calls: AtomicU64,
}

impl Counting {
    fn of(work: WorkId) -> Self {
        Self {
            work,
            calls: AtomicU64::new(0),
        }
    }
}

impl Observer for Counting {
    fn ended(&self, id: WorkId, _: &Outcome<'_>) {
        if id == self.work {
            self.calls.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[derive(Default)]
struct Late {
    detached: AtomicBool,
    called_late: AtomicBool,
}

impl Observer for Late {
    fn made(&self, _: &Work<'_>) {
        if self.detached.load(Ordering::SeqCst) {
            self.called_late.store(true, Ordering::SeqCst);
        }
    }
}
