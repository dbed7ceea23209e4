//! The first success of a few candidates, against everything people use for that.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use benches::Contest;
use futures_concurrency::future::RaceOk;
use futures_util::future::select_ok;
use nexios::{Candidate, Delay, Hedge, run_until_first_complete};

use crate::group::{Named, counted, runtime_named, spawned};

/// A candidate that is woken a few times before it answers, or that never answers.
struct Source {
    /// `None`: never.
    yields: Option<u8>,
    value: u64,
}

impl Future for Source {
    type Output = Result<u64, ()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.yields {
            None => Poll::Pending,
            Some(0) => Poll::Ready(Ok(self.value)),
            Some(left) => {
                *left -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

/// What the candidates of one contest do.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// The first answers at its first poll, the others never do.
    FirstReady,
    /// All answer at their first poll.
    AllReady,
    /// The last answers when it was woken once, the others never do.
    LastYields,
}

impl Kind {
    fn source(self, index: u64, size: u64) -> Source {
        let yields = match self {
            Self::FirstReady => (index == 0).then_some(0),
            Self::AllReady => Some(0),
            Self::LastYields => (index + 1 == size).then_some(1),
        };
        Source {
            yields,
            value: index,
        }
    }
}

type BoxFuture = Pin<Box<dyn Future<Output = Result<u64, ()>> + Send>>;

pub(crate) fn contests() -> Vec<Named> {
    let mut contests: Vec<Named> = Vec::new();
    for (title, kind) in [
        ("first_ready", Kind::FirstReady),
        ("all_ready", Kind::AllReady),
        ("last_yields", Kind::LastYields),
    ] {
        let name = |size: usize| format!("race/{title}/current_thread/{size}");
        contests.push((
            name(2),
            Box::new(move || race_of::<2, _>(title, kind, select_of_2)),
        ));
        contests.push((
            name(3),
            Box::new(move || race_of::<3, _>(title, kind, select_of_3)),
        ));
        contests.push((
            name(8),
            Box::new(move || race_of::<8, _>(title, kind, select_of_8)),
        ));
    }
    let name = "hedge/first_ready/current_thread".to_owned();
    contests.push((name.clone(), Box::new(move || hedge(name))));
    contests
}

/// The candidates differ in type, as they do in life, so the rivals get boxed futures as well.
fn boxed<const N: usize>(kind: Kind) -> [BoxFuture; N] {
    std::array::from_fn(|index| {
        let boxed: BoxFuture = Box::pin(kind.source(index as u64, N as u64));
        boxed
    })
}

fn candidates<const N: usize>(kind: Kind) -> [Candidate<'static, u64, ()>; N] {
    std::array::from_fn(|index| Candidate::new("source", kind.source(index as u64, N as u64)))
}

/// The floor: no list, no allocation, no order among errors.
macro_rules! select_of {
    ($name:ident: $($index:tt)*) => {
        async fn $name(kind: Kind) -> u64 {
            const SIZE: u64 = [$($index),*].len() as u64;
            tokio::select! {
                biased;
                $(Ok(value) = kind.source($index, SIZE) => value,)*
                else => 0,
            }
        }
    };
}

select_of!(select_of_2: 0 1);
select_of!(select_of_3: 0 1 2);
select_of!(select_of_8: 0 1 2 3 4 5 6 7);

fn race_of<const N: usize, Fut>(title: &str, kind: Kind, select: fn(Kind) -> Fut) -> Contest
where
    Fut: Future<Output = u64> + Send + 'static,
{
    let runtime = &runtime_named("current_thread");
    let contest = Contest::new(format!("race/{title}/current_thread/{N}"), 1)
        .side(
            spawned("nexios", runtime, move || async move {
                run_until_first_complete(candidates::<N>(kind))
                    .await
                    .unwrap_or_default()
            })
            .goal("select_ok", 1.2)
            .goal("race_ok", 1.2),
        )
        .side(
            spawned("nexios, winner()", runtime, move || async move {
                let winner = run_until_first_complete(candidates::<N>(kind))
                    .winner()
                    .await;
                winner.map_or(0, |winner| winner.value)
            })
            .goal("select_ok", 1.2),
        )
        .side(spawned("select_ok", runtime, move || async move {
            select_ok(boxed::<N>(kind))
                .await
                .map_or(0, |(value, _losers)| value)
        }))
        .side(spawned("race_ok", runtime, move || async move {
            Vec::from(boxed::<N>(kind))
                .race_ok()
                .await
                .unwrap_or_default()
        }))
        .side(spawned("tokio::select!", runtime, move || select(kind)));
    counted(contest, "current_thread")
}

/// For orientation: what a hedge adds to a call whose first attempt answers at once.
fn hedge(name: String) -> Contest {
    let runtime = &runtime_named("current_thread");
    let call = |hedge: Hedge| {
        move || {
            let hedge = hedge.clone();
            async move {
                hedge
                    .run(|_| Kind::FirstReady.source(0, 1))
                    .await
                    .unwrap_or_default()
            }
        }
    };
    let fixed = || Hedge::builder().delay(Delay::Fixed(Duration::from_secs(1)));
    let learned = || Hedge::builder().delay(Delay::Percentile(0.95)).budget(0.05);
    let contest = Contest::new(name, 1)
        .side(spawned(
            "on failure only",
            runtime,
            call(Hedge::builder().delay(Delay::OnFailureOnly).build()),
        ))
        .side(spawned("fixed delay", runtime, call(fixed().build())))
        .side(spawned(
            "95th percentile, budget",
            runtime,
            call(learned().build()),
        ))
        .side(spawned("boxed and awaited", runtime, || async {
            Box::pin(Kind::FirstReady.source(0, 1))
                .await
                .unwrap_or_default()
        }))
        .side(spawned("awaited", runtime, || async {
            Kind::FirstReady.source(0, 1).await.unwrap_or_default()
        }));
    counted(contest, "current_thread")
}
