//! Cancellation tokens and scopes.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nexios::{
    CancelReason, CancelScope, CancelToken, Candidate, Interrupted, TaskGroup, TokenSource,
    run_until_first_complete,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::growth::assert_linear;

#[tokio::test(start_paused = true)]
async fn a_child_fires_with_its_parent_and_with_the_parents_reason() {
    let parent = CancelToken::new();
    let child = parent.child();
    let waiting = tokio::spawn({
        let child = child.clone();
        async move { child.cancelled().await }
    });
    tokio::task::yield_now().await;
    parent.cancel(CancelReason::Shutdown);
    assert_eq!(waiting.await.unwrap(), CancelReason::Shutdown);
    assert_eq!(child.reason(), Some(CancelReason::Shutdown));
}

#[tokio::test]
async fn who_waits_may_own_the_token() {
    let token = CancelToken::new();
    let waiting = tokio::spawn(token.child().cancelled_owned());
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    token.cancel(CancelReason::Shutdown);
    assert_eq!(waiting.await.unwrap(), CancelReason::Shutdown);
    let fired = token.cancelled_owned().await;
    assert_eq!(fired, CancelReason::Shutdown, "there already");
}

#[test]
fn a_childs_cancellation_does_not_reach_its_parent() {
    let parent = CancelToken::new();
    parent.child().cancel(CancelReason::Requested);
    assert!(!parent.is_cancelled());
    assert_eq!(parent.reason(), None);
}

#[test]
fn the_first_reason_stays() {
    let parent = CancelToken::new();
    let own = parent.child();
    let inherited = parent.child();
    own.cancel(CancelReason::Deadline);
    parent.cancel(CancelReason::Shutdown);
    parent.cancel(CancelReason::Requested);
    inherited.cancel(CancelReason::Requested);
    assert_eq!(own.reason(), Some(CancelReason::Deadline));
    assert_eq!(inherited.reason(), Some(CancelReason::Shutdown));
    assert_eq!(parent.reason(), Some(CancelReason::Shutdown));
}

#[test]
fn a_child_of_a_fired_token_is_born_fired() {
    let parent = CancelToken::new();
    parent.cancel(CancelReason::ClientDisconnected);
    assert_eq!(
        parent.child().child().reason(),
        Some(CancelReason::ClientDisconnected)
    );
}

#[tokio::test(start_paused = true)]
async fn tokio_utils_token_is_the_same_signal_in_both_directions() {
    let foreign = CancellationToken::new();
    let ours = CancelToken::from(foreign.clone());
    let child = ours.child();
    foreign.cancel();
    assert_eq!(child.cancelled().await, CancelReason::Requested);
    assert_eq!(ours.reason(), Some(CancelReason::Requested));

    let ours = CancelToken::new();
    let foreign = CancellationToken::from(ours.clone());
    ours.cancel(CancelReason::Shutdown);
    assert!(foreign.is_cancelled());
}

const MANY: usize = 100_000;

/// Tokens of which each is the child of the one before.
fn chain(length: usize) -> Vec<CancelToken> {
    std::iter::successors(Some(CancelToken::new()), |token| Some(token.child()))
        .take(length)
        .collect()
}

/// TG-062: on the small stack of a test's thread, whoever holds it and whichever end goes first.
#[test]
fn a_deep_chain_needs_no_deep_stack() {
    for fired in [false, true] {
        let fire = |chain: &[CancelToken]| {
            if fired {
                chain[0].cancel(CancelReason::Shutdown);
                assert_eq!(chain.last().unwrap().reason(), Some(CancelReason::Shutdown));
            }
        };
        let whole = chain(MANY);
        fire(&whole);
        whole.into_iter().for_each(drop);
        let whole = chain(MANY);
        fire(&whole);
        whole.into_iter().rev().for_each(drop);
        let mut whole = chain(MANY);
        fire(&whole);
        let leaf = whole.pop().unwrap();
        drop(whole);
        assert_eq!(leaf.is_cancelled(), fired);
        drop(leaf);
    }
}

/// The same for what waits for the leaf, and for scopes that are made one in the other.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_deep_chain_is_heard() {
    let whole = chain(MANY);
    let waiting = tokio::spawn({
        let scope = CancelScope::new(whole.last().unwrap().clone(), None);
        async move {
            scope
                .run(async { CancelScope::current().unwrap().token().cancelled().await })
                .await
        }
    });
    tokio::task::yield_now().await;
    whole[0].cancel(CancelReason::ClientDisconnected);
    assert_eq!(waiting.await.unwrap(), CancelReason::ClientDisconnected);
    let scopes: Vec<_> = whole
        .into_iter()
        .map(|token| CancelScope::new(token, None))
        .collect();
    drop(scopes);
}

#[test]
fn the_cost_of_tokens_is_linear() {
    let n = MANY / 8;
    let children = |n| {
        let root = CancelToken::new();
        let children: Vec<_> = (0..n).map(|_| root.child()).collect();
        (root, children)
    };
    assert_linear("making a chain", n, |n| n, |n| drop(chain(n)));
    assert_linear("firing a chain", n, chain, |chain| {
        chain[0].cancel(CancelReason::Shutdown);
    });
    assert_linear(
        "asking all of a fired chain, the last one first",
        n,
        chain,
        |chain| {
            chain[0].cancel(CancelReason::Shutdown);
            assert!(
                chain
                    .iter()
                    .rev()
                    .all(|token| token.reason() == Some(CancelReason::Shutdown))
            );
        },
    );
    assert_linear(
        "firing each of a chain, the last one first",
        n,
        chain,
        |chain| {
            chain
                .iter()
                .rev()
                .for_each(|token| token.cancel(CancelReason::Requested));
        },
    );
    assert_linear("making children", n, |n| n, |n| drop(children(n)));
    assert_linear("firing children", n, children, |(root, children)| {
        root.cancel(CancelReason::Shutdown);
        assert!(children.iter().all(CancelToken::is_cancelled));
    });
    assert_linear("firing each child", n, children, |(_root, children)| {
        children
            .iter()
            .for_each(|child| child.cancel(CancelReason::Requested));
    });
    assert_linear(
        "dropping the parent first",
        n,
        children,
        |(root, children)| {
            drop(root);
            drop(children);
        },
    );
}

#[tokio::test(start_paused = true)]
async fn a_scope_is_current_inside_run_and_nowhere_else() {
    assert!(CancelScope::current().is_none());
    let deadline = Instant::now() + Duration::from_secs(1);
    let outer = CancelScope::new(CancelToken::new(), Some(deadline));
    let inner = CancelScope::new(outer.token().child(), None);
    outer
        .run(async {
            assert_eq!(CancelScope::current().unwrap().deadline(), Some(deadline));
            inner
                .run(async { assert_eq!(CancelScope::current().unwrap().deadline(), None) })
                .await;
            let spawned = tokio::spawn(async { CancelScope::current().is_some() });
            assert!(!spawned.await.unwrap(), "a spawned task starts outside");
            assert!(CancelScope::current().is_some());
        })
        .await;
    assert!(CancelScope::current().is_none());
}

/// Makes its token when it is asked, and counts how often it was.
#[derive(Debug, Default)]
struct Lazy {
    token: OnceLock<CancelToken>,
    asked: AtomicUsize,
}

impl TokenSource for Lazy {
    fn token(&self) -> CancelToken {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.token.get_or_init(CancelToken::new).clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_scope_on_demand_asks_for_its_token_only_when_somebody_wants_it() {
    let lazy = Arc::new(Lazy::default());
    let deadline = Some(Instant::now() + Duration::from_secs(1));
    let outcome = CancelScope::on_demand(lazy.clone(), deadline)
        .run(async {
            let scope = CancelScope::current().unwrap();
            assert_eq!(
                (scope.deadline(), lazy.asked.load(Ordering::SeqCst)),
                (deadline, 0)
            );
            let group = TaskGroup::<Interrupted>::new();
            lazy.token().cancel(CancelReason::ClientDisconnected);
            group
                .run(async { group.spawn(std::future::pending::<Result<(), _>>()).await })
                .await
        })
        .await;
    assert_eq!(
        outcome,
        Err(Interrupted::Cancelled(CancelReason::ClientDisconnected))
    );
}

/// What the code that is polled may take, in whatever groups it is.
#[tokio::test(start_paused = true)]
async fn the_current_deadline_is_the_earliest_of_the_scope_and_the_groups_around() {
    let left = || {
        CancelScope::current_deadline()
            .map(|at| at.saturating_duration_since(Instant::now()).as_secs())
    };
    let group = |seconds| {
        TaskGroup::builder()
            .timeout(Duration::from_secs(seconds))
            .build::<Interrupted>()
    };
    assert_eq!(left(), None);
    let scope = CancelScope::new(
        CancelToken::new(),
        Some(Instant::now() + Duration::from_secs(60)),
    );
    let seen = scope.run(async {
        let (before, outer) = (left(), group(20));
        let (body, child, shorter, longer) = outer
            .run(async {
                let child = outer.spawn(async { Ok(left()) });
                let shorter = outer.spawn(async {
                    let inner = group(5);
                    inner
                        .run(async { inner.spawn(async { Ok(left()) }).await })
                        .await
                });
                let longer = outer.spawn(async {
                    let inner = group(40);
                    inner
                        .run(async { inner.spawn(async { Ok(left()) }).await })
                        .await
                });
                Ok((left(), child.await?, shorter.await?, longer.await?))
            })
            .await?;
        Ok::<_, Interrupted>([before, body, child, shorter, longer, left()])
    });
    assert_eq!(seen.await, Ok([60, 20, 20, 5, 20, 60].map(Some)));
    assert_eq!(left(), None);
}

#[tokio::test(start_paused = true)]
async fn a_candidate_sees_its_own_limit_and_that_of_its_race() {
    let seconds = Duration::from_secs;
    let left = || {
        CancelScope::current_deadline()
            .map(|at| at.saturating_duration_since(Instant::now()).as_secs())
    };
    let seen = async |own: Option<u64>, race: Option<u64>, yields: bool| {
        let candidate = Candidate::new("asks", async move {
            if yields {
                tokio::task::yield_now().await;
            }
            Ok::<_, ()>(left())
        });
        let candidate = own
            .map(seconds)
            .into_iter()
            .fold(candidate, Candidate::timeout);
        let made = run_until_first_complete([candidate]);
        race.map(seconds)
            .into_iter()
            .fold(made, nexios::Race::timeout)
            .await
            .unwrap()
    };
    for yields in [false, true] {
        assert_eq!(seen(None, None, yields).await, None);
        assert_eq!(seen(Some(5), None, yields).await, Some(5));
        assert_eq!(seen(None, Some(9), yields).await, Some(9));
        assert_eq!(seen(Some(5), Some(9), yields).await, Some(5));
        assert_eq!(seen(Some(20), Some(9), yields).await, Some(9));
    }
    assert_eq!(left(), None);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_child_leaves_no_limit_behind() {
    let group = TaskGroup::builder()
        .timeout(Duration::from_secs(1))
        .build::<Interrupted>();
    let run = group.run(async { group.spawn(async { panic!("a child") }).await });
    let run: Result<Result<(), _>, _> =
        futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(run)).await;
    assert!(run.is_err());
    assert_eq!(CancelScope::current_deadline(), None);
}

#[test]
fn an_interruption_converts_into_the_usual_errors() {
    let deadline = std::io::Error::from(Interrupted::DeadlineExceeded);
    assert_eq!(deadline.kind(), std::io::ErrorKind::TimedOut);
    let text = String::from(Interrupted::Cancelled(CancelReason::SiblingFailed));
    assert_eq!(text, "cancelled: a sibling failed");
    let boxed: Box<dyn std::error::Error + Send + Sync> = Interrupted::DeadlineExceeded.into();
    assert!(boxed.downcast_ref::<Interrupted>().is_some());
    assert_eq!(
        anyhow::Error::from(Interrupted::DeadlineExceeded).to_string(),
        "deadline exceeded"
    );
    assert_eq!(
        Interrupted::from(CancelReason::Deadline),
        Interrupted::DeadlineExceeded
    );
}
