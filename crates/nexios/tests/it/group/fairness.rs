//! Whoever is always ready, body or child, leaves the others their turns. In real time.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use futures_util::{
    StreamExt,
    future::{BoxFuture, select},
    stream::FuturesUnordered,
};
use nexios::{Spawner, TaskGroup};
use tokio::{
    runtime::Builder,
    sync::mpsc,
    task::{consume_budget, yield_now},
};

use super::probes::{Failed, millis};

/// How long the noise goes on if the quiet one never gets its turns.
const NOISE: Duration = millis(3_000);
const SOON: Duration = millis(1_500);
/// How many children a storm has. A sibling is polled in the order of the wakes, behind all that came before.
const STORM: usize = 20_000;

type Group<'g> = TaskGroup<'g, Failed>;

/// Runs in `block_on`, in a task of a current-thread runtime, and on two workers.
fn on_every_runtime<F>(scene: impl Fn(&'static str) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let current = || Builder::new_current_thread().enable_all().build().unwrap();
    current().block_on(scene("in block_on"));
    current().block_on(async { tokio::spawn(scene("in a task")).await.unwrap() });
    let workers = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    workers.block_on(async { tokio::spawn(scene("on two workers")).await.unwrap() });
}

/// Told by the quiet one when it has had all its turns.
#[derive(Clone)]
struct Done(Arc<AtomicBool>, Instant);

impl Done {
    fn goes_on(&self) -> bool {
        !self.0.load(Ordering::SeqCst) && self.1.elapsed() < NOISE
    }
}

/// Always ready, and spends the budget.
async fn busy(done: Done) -> Result<(), Failed> {
    while done.goes_on() {
        consume_budget().await;
    }
    Ok(())
}

/// Always ready, and spends no budget.
async fn restless(done: Done) -> Result<(), Failed> {
    poll_fn(|cx| {
        if !done.goes_on() {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Children that spawn two children each, as long as it goes on.
fn storm(
    spawner: Spawner<'static, Failed>,
    done: Done,
    born: Arc<AtomicUsize>,
) -> BoxFuture<'static, Result<(), Failed>> {
    Box::pin(async move {
        for _ in 0..2 {
            if done.goes_on() && born.fetch_add(1, Ordering::SeqCst) < STORM {
                spawner.spawn(storm(spawner.clone(), done.clone(), born.clone()));
            }
        }
        Ok(())
    })
}

async fn nested(
    done: Done,
    child: fn(Done) -> BoxFuture<'static, Result<(), Failed>>,
) -> Result<(), Failed> {
    let inner: Group<'_> = TaskGroup::new();
    inner
        .run(async {
            for _ in 0..3 {
                inner.spawn(child(done.clone()));
            }
            inner.spawn(child(done.clone())).await
        })
        .await
}

/// Wants twenty turns and some time.
async fn quiet(done: Done) -> Result<Duration, Failed> {
    for _ in 0..10 {
        tokio::time::sleep(millis(1)).await;
        yield_now().await;
    }
    done.0.store(true, Ordering::SeqCst);
    Ok(done.1.elapsed())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Noise {
    Busy,
    Restless,
    Daemon,
    NestedBusy,
    NestedRestless,
    MapItems,
    Storm,
    ManyBusy,
    ManyRestless,
}

const NOISES: [Noise; 9] = [
    Noise::Busy,
    Noise::Restless,
    Noise::Daemon,
    Noise::NestedBusy,
    Noise::NestedRestless,
    Noise::MapItems,
    Noise::Storm,
    Noise::ManyBusy,
    Noise::ManyRestless,
];

/// Makes the noise, as a future for a child or the body.
fn noise<'g>(
    group: &'g Group<'static>,
    kind: Noise,
    done: Done,
) -> BoxFuture<'g, Result<(), Failed>> {
    match kind {
        Noise::Busy | Noise::Daemon | Noise::ManyBusy => Box::pin(busy(done)),
        Noise::Restless | Noise::ManyRestless => Box::pin(restless(done)),
        Noise::NestedBusy => Box::pin(nested(done, |done| Box::pin(busy(done)))),
        Noise::NestedRestless => Box::pin(nested(done, |done| Box::pin(restless(done)))),
        Noise::MapItems => {
            Box::pin(async move { group.map(0..3, |_| busy(done.clone())).await.map(drop) })
        }
        Noise::Storm => storm(group.spawner(), done, Arc::default()),
    }
}

/// Children that make the noise.
fn spawn_noise(group: &Group<'static>, kind: Noise, done: &Done) {
    match kind {
        Noise::Busy => drop(group.spawn(busy(done.clone()))),
        Noise::Restless => drop(group.spawn(restless(done.clone()))),
        Noise::Daemon => {
            let done = done.clone();
            group.spawn_daemon(async move {
                let _ended = busy(done).await;
            });
        }
        Noise::NestedBusy => drop(group.spawn(nested(done.clone(), |done| Box::pin(busy(done))))),
        Noise::NestedRestless => {
            drop(group.spawn(nested(done.clone(), |done| Box::pin(restless(done)))));
        }
        Noise::MapItems => {
            let done = done.clone();
            drop(group.spawn(async move {
                let inner: Group<'_> = TaskGroup::new();
                inner.map(0..3, |_| busy(done.clone())).await.map(drop)
            }));
        }
        Noise::Storm => drop(group.spawn(storm(group.spawner(), done.clone(), Arc::default()))),
        Noise::ManyBusy => (0..50).for_each(|_| drop(group.spawn(busy(done.clone())))),
        Noise::ManyRestless => (0..500).for_each(|_| drop(group.spawn(restless(done.clone())))),
    }
}

fn done() -> Done {
    Done(Arc::default(), Instant::now())
}

#[test]
fn a_child_has_its_turns_beside_a_body_that_is_always_ready() {
    for kind in NOISES {
        on_every_runtime(move |runtime| async move {
            let (group, done) = (Group::new(), done());
            let child = group.spawn(quiet(done.clone()));
            group.run(noise(&group, kind, done)).await.unwrap();
            let took = child.await.unwrap();
            assert!(took < SOON, "{kind:?} {runtime}: {took:?}");
        });
    }
}

#[test]
fn the_body_has_its_turns_beside_children_that_are_always_ready() {
    for kind in NOISES {
        on_every_runtime(move |runtime| async move {
            let (group, done) = (Group::new(), done());
            spawn_noise(&group, kind, &done);
            let took = group.run(quiet(done)).await.unwrap();
            assert!(took < SOON, "{kind:?} {runtime}: {took:?}");
        });
    }
}

#[test]
fn a_child_has_its_turns_beside_siblings_that_are_always_ready() {
    for kind in NOISES {
        on_every_runtime(move |runtime| async move {
            let (group, done) = (Group::new(), done());
            spawn_noise(&group, kind, &done);
            let child = group.spawn(quiet(done));
            let took = group.run(child).await.unwrap();
            assert!(took < SOON, "{kind:?} {runtime}: {took:?}");
        });
    }
}

#[test]
fn a_daemon_and_a_nested_group_have_their_turns_beside_a_body_that_is_always_ready() {
    for kind in NOISES {
        on_every_runtime(move |runtime| async move {
            let (group, done) = (Group::new(), done());
            let (first, second) = (Done(Arc::default(), done.1), Done(Arc::default(), done.1));
            let (both, all) = ((first.clone(), second.clone()), done.clone());
            group.spawn_daemon(async move {
                let _took = quiet(first).await;
            });
            let inner = group.spawn(async move {
                let inner: Group<'_> = TaskGroup::new();
                inner.run(async { inner.spawn(quiet(second)).await }).await
            });
            group.spawn(async move {
                while both.0.goes_on() || both.1.goes_on() {
                    tokio::time::sleep(millis(1)).await;
                }
                all.0.store(true, Ordering::SeqCst);
                Ok(())
            });
            group.run(noise(&group, kind, done.clone())).await.unwrap();
            let took = inner.await.unwrap().max(done.1.elapsed());
            assert!(took < SOON, "{kind:?} {runtime}: {took:?}");
        });
    }
}

/// The neighbour is polled first each time and leaves no budget; body, child and map go on all the same.
#[test]
fn a_group_has_its_turns_beside_a_neighbour_in_its_task_that_is_always_ready() {
    on_every_runtime(|runtime| async move {
        let (group, done) = (Group::new(), done());
        let children: Vec<_> = (0..300)
            .map(|n| group.spawn(async move { Ok(n) }))
            .collect();
        let run = group.run(async {
            let mut sum = 0;
            for child in children {
                sum += child.await?;
            }
            let more: usize = group.map(0..300, async |n| Ok(n)).await?.into_iter().sum();
            done.0.store(true, Ordering::SeqCst);
            Ok(sum + more)
        });
        let neighbour = busy(done.clone());
        match select(pin!(neighbour), pin!(run)).await {
            futures_util::future::Either::Left((_, run)) => {
                assert_eq!(run.await, Ok(2 * (299 * 300 / 2)));
            }
            futures_util::future::Either::Right((sum, _)) => {
                assert_eq!(sum, Ok(2 * (299 * 300 / 2)));
            }
        }
        let took = done.1.elapsed();
        assert!(took < SOON, "{runtime}: {took:?}");
    });
}

/// What a child of the accept loop does.
#[derive(Clone, Copy, Debug)]
enum Job {
    Instant,
    YieldsOnce,
    Receives,
    /// At a limit of 16.
    Limited,
}

/// How many jobs waited at most.
#[derive(Default)]
struct Backlog {
    taken: AtomicUsize,
    handled: AtomicUsize,
    most: AtomicUsize,
}

impl Backlog {
    fn take(&self) {
        let taken = self.taken.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(
            taken - self.handled.load(Ordering::SeqCst),
            Ordering::SeqCst,
        );
    }

    async fn handle(self: Arc<Self>, job: Job) -> Result<(), Failed> {
        match job {
            Job::Instant | Job::Limited => {}
            Job::YieldsOnce => yield_now().await,
            Job::Receives => {
                for _ in 0..4 {
                    consume_budget().await;
                }
            }
        }
        self.handled.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

const JOBS: usize = 30_000;

fn full_channel() -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel(JOBS);
    (0..JOBS).for_each(|_| sender.try_send(()).unwrap());
    receiver
}

async fn by_group(job: Job) -> usize {
    let (mut jobs, backlog) = (full_channel(), Arc::new(Backlog::default()));
    let limit = if matches!(job, Job::Limited) {
        16
    } else {
        usize::MAX
    };
    let group: Group<'_> = TaskGroup::builder().limit(limit).build();
    group
        .run(async {
            while let Some(()) = jobs.recv().await {
                backlog.take();
                group.spawn(backlog.clone().handle(job));
            }
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(backlog.handled.load(Ordering::SeqCst), JOBS);
    backlog.most.load(Ordering::SeqCst)
}

/// The same loop as people write it by hand.
async fn by_select(job: Job) -> usize {
    let (mut jobs, backlog) = (full_channel(), Arc::new(Backlog::default()));
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            next = jobs.recv() => {
                let Some(()) = next else { break };
                backlog.take();
                under_way.push(backlog.clone().handle(job));
            }
            Some(ended) = under_way.next() => ended.unwrap(),
        }
    }
    while under_way.next().await.is_some() {}
    backlog.most.load(Ordering::SeqCst)
}

/// Some hundreds wait at most, as with `select!` beside `FuturesUnordered`.
#[test]
fn a_body_that_is_always_ready_spawns_no_faster_than_its_children_are_polled() {
    for job in [Job::Instant, Job::YieldsOnce, Job::Receives, Job::Limited] {
        on_every_runtime(move |runtime| async move {
            let (ours, theirs) = (by_group(job).await, by_select(job).await);
            assert!(
                ours < 1_000,
                "{job:?} {runtime}: {ours}, with select! {theirs}"
            );
        });
    }
}
