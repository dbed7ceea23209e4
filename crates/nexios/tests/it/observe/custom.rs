//! Work of the user's own.

use std::{
    future::{Future, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    task::Context,
    thread,
    time::Duration,
};

use nexios::{
    CancelReason, CancelToken,
    observe::{self, Observer, Outcome, Update, Work, WorkId, WorkKind},
};

use super::recorder::Recorder;

#[test]
fn work_that_is_dropped_has_completed() {
    let (told, _observing, root) = Recorder::begin();
    root.scope(|| drop(observe::custom("one")));
    assert_eq!(
        told.lines(),
        ["one: made as custom", "one: started", "one: Completed"]
    );
}

#[test]
fn work_that_is_dropped_by_a_panic_has_panicked() {
    let (told, _observing, root) = Recorder::begin();
    let result = catch_unwind(AssertUnwindSafe(|| {
        root.scope(|| {
            let _one = observe::custom("one");
            panic!("on purpose");
        })
    }));
    assert!(result.is_err());
    assert_eq!(told.lines().last().unwrap(), "one: Panicked(\"\")");
}

#[test]
fn work_ends_as_its_owner_says_and_once() {
    let (told, _observing, root) = Recorder::begin();
    root.scope(|| observe::custom("one").end(&Outcome::Failed(Some("no luck"))));
    assert_eq!(told.lines()[2..], ["one: Failed(Some(\"no luck\"))"]);
}

#[test]
fn updates_reach_the_observer() {
    let (told, _observing, root) = Recorder::begin();
    let one = root.scope(|| observe::custom("one"));
    one.update(&Update::Progress { done: 1, total: 2 });
    one.update(&Update::Message("half"));
    assert_eq!(
        told.lines()[2..],
        [
            "one: Progress { done: 1, total: 2 }",
            "one: Message(\"half\")"
        ]
    );
}

#[test]
fn what_is_made_in_a_scope_is_its_part() {
    let (told, _observing, root) = Recorder::begin();
    root.scope(|| {
        let outer = observe::custom("outer");
        outer.scope(|| {
            assert_eq!(observe::current(), outer.id());
            drop(observe::custom("inner"));
        });
        assert_eq!(observe::current(), root.id());
    });
    assert_eq!(observe::current(), None);
    assert!(
        told.lines()
            .contains(&"inner: made as custom in outer".to_owned())
    );
}

#[test]
fn a_scope_that_panics_gives_the_outer_work_back() {
    let (_told, _observing, root) = Recorder::begin();
    root.scope(|| {
        let inner = observe::custom("inner");
        let result = catch_unwind(AssertUnwindSafe(|| inner.scope(|| panic!("on purpose"))));
        assert!(result.is_err());
        assert_eq!(observe::current(), root.id());
    });
}

#[tokio::test]
async fn a_future_is_polled_as_the_work_and_ends_it() {
    let (told, _observing, root) = Recorder::begin();
    let part = root.scope(|| observe::custom("outer")).run(async {
        tokio::task::yield_now().await;
        drop(observe::custom("inner"));
        observe::current()
    });
    let part = part.await;
    assert!(part.is_some());
    assert_eq!(observe::current(), None);
    let lines = told.lines();
    assert!(
        lines.contains(&"inner: made as custom in outer".to_owned()),
        "{lines:?}"
    );
    assert_eq!(lines.last().unwrap(), "outer: Completed");
}

#[tokio::test]
async fn a_future_that_is_dropped_ends_as_cancelled_after_what_it_held() {
    let (told, _observing, root) = Recorder::begin();
    let work = root.scope(|| observe::custom("outer")).run(async {
        let _inner = observe::custom("inner");
        pending::<()>().await;
    });
    let mut work = Box::pin(work);
    let waker = std::task::Waker::noop();
    assert!(
        work.as_mut()
            .poll(&mut Context::from_waker(waker))
            .is_pending()
    );
    drop(work);
    let lines = told.lines();
    assert_eq!(
        lines[lines.len() - 2..],
        ["inner: Completed", "outer: Cancelled(OwnerDropped)"]
    );
}

#[tokio::test]
async fn a_future_that_is_never_polled_ends_as_well() {
    let (told, _observing, root) = Recorder::begin();
    drop(root.scope(|| observe::custom("one")).run(async {}));
    assert_eq!(told.lines()[2..], ["one: Cancelled(OwnerDropped)"]);
}

#[tokio::test]
async fn a_future_that_panics_says_with_what() {
    let (told, _observing, root) = Recorder::begin();
    let work = root
        .scope(|| observe::custom("one"))
        .run(async { panic!("on {}", "purpose") });
    let work = tokio::spawn(work);
    assert!(work.await.is_err());
    assert_eq!(
        told.lines().last().unwrap(),
        "one: Panicked(\"on purpose\")"
    );
}

/// The number, the kind, the parent and the link.
type Facts = (WorkId, WorkKind, Option<WorkId>, Option<WorkId>);

/// Keeps what all work is made as, that of other tests too.
#[derive(Default)]
struct Made(Mutex<Vec<Facts>>);

impl Observer for Made {
    fn made(&self, work: &Work<'_>) {
        let made = (work.id, work.kind, work.parent, work.link);
        self.0.lock().unwrap().push(made);
    }
}

#[test]
fn a_request_is_nobodys_part() {
    let all = Arc::new(Made::default());
    let _observing = observe::observe(all.clone());
    let outer = observe::custom("outer");
    let (request, inner) = outer.scope(|| {
        let request = observe::request("GET /");
        let inner = request.scope(|| {
            assert_eq!(observe::current(), request.id());
            observe::custom("inner")
        });
        assert_eq!(observe::current(), outer.id());
        (request, inner)
    });
    let all = all.0.lock().unwrap();
    let made = |of: Option<WorkId>| *all.iter().find(|made| Some(made.0) == of).unwrap();
    let id = request.id().unwrap();
    assert_eq!(made(Some(id)), (id, WorkKind::Request, None, None));
    let (_, kind, parent, _) = made(inner.id());
    assert_eq!((kind, parent), (WorkKind::Custom, Some(id)));
}

#[test]
fn work_may_end_on_another_thread() {
    fn assert_shared<T: Send + Sync>(_: &T) {}
    let (told, _observing, root) = Recorder::begin();
    let one = root.scope(|| observe::custom("one"));
    assert_shared(&one);
    std::thread::spawn(move || drop(one)).join().unwrap();
    assert_eq!(told.lines().last().unwrap(), "one: Completed");
}

/// In real time: a paused clock stands while code blocks.
#[tokio::test]
async fn a_poll_that_holds_its_thread_is_told_by_the_innermost_that_was_polled() {
    let (told, _observing, root) = Recorder::begin();
    let inner = async || {
        tokio::task::yield_now().await;
        thread::sleep(Duration::from_millis(150));
    };
    root.run(async {
        let work = async { observe::custom("inner").run(inner()).await };
        observe::custom("outer").run(work).await;
    })
    .await;
    let slow = told.slow_polls();
    assert_eq!(slow.len(), 1, "{slow:?}");
    assert!(slow[0].starts_with("inner: "), "{slow:?}");
    assert!(told.lines().contains(&"inner: Completed".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn work_that_says_how_is_cancelled_by_its_number_as_long_as_it_lives() {
    let (_told, _observing, root) = Recorder::begin();
    let token = CancelToken::new();
    let import = root.scope(|| observe::background("import", "imports", None));
    let id = import.id().unwrap();
    assert!(!observe::cancel(id), "it has not said how");
    let import = import.cancellable(&CancelToken::new()).cancellable(&token);
    let task = tokio::spawn(import.run({
        let token = token.clone();
        async move { token.cancelled().await }
    }));
    assert!(observe::cancel(id));
    assert_eq!(token.reason(), Some(CancelReason::Requested));
    assert!(!observe::cancel(id), "it was cancelled before");
    assert_eq!(task.await.unwrap(), CancelReason::Requested);

    let ended = CancelToken::new();
    let import = root.scope(|| observe::background("import", "imports", None).cancellable(&ended));
    let id = import.id().unwrap();
    import.end(&Outcome::Completed);
    assert!(!observe::cancel(id), "it has ended");
    assert_eq!(ended.reason(), None);
}
