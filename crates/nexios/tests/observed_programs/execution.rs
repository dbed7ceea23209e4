//! Runs a program.

use std::{
    future::{pending, poll_fn},
    panic::resume_unwind,
    sync::{Arc, Mutex, Weak},
    task::Poll,
    thread,
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all},
};
use nexios::{
    AsyncLazy, Background, BackgroundTask, Candidate, Delay, Drain, Hedge, Interrupted, OnError,
    Overload, Retry, Spawner, Task, TaskContext, TaskGroup, ThreadPool,
    observe::{self, Outcome, Update},
    run_until_first_complete,
};
use tokio::{task::yield_now, time::sleep};

use crate::program::{
    Author, BackgroundHandle, BackgroundPlan, BackgroundSpawn, ChildSort, ClosurePlan, CustomPlan,
    GroupEnd, GroupPlan, HandleFate, HedgePlan, LAZIES, LazyPlan, PoolCallPlan, PoolPlan, Program,
    RacePlan, Shared, Start,
};

type Outcomes = Result<(), Interrupted>;
type Group = TaskGroup<'static, Interrupted>;

const FAILURE: Interrupted = Interrupted::DeadlineExceeded;

/// What all parts of a program share.
pub(crate) struct World {
    pool: Option<ThreadPool>,
    lazies: Vec<AsyncLazy<(), Interrupted>>,
    background: Background,
    /// All groups that there have been, the latest last.
    groups: Mutex<Vec<Spawner<'static, Interrupted>>>,
    /// What was reached, in its order.
    journal: Mutex<Vec<String>>,
}

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn panics<T>() -> T {
    // Without a word of the hook.
    resume_unwind(Box::new("on purpose"))
}

impl World {
    pub(crate) fn new(author: &mut Author) -> Arc<Self> {
        let pool = author.pool.then(|| {
            let overload = match author.random.below(3) {
                0 => Overload::Wait,
                1 => Overload::Shed,
                _ => Overload::ShedAfter(milliseconds(1)),
            };
            ThreadPool::builder()
                .threads(1 + author.random.below(2))
                .queue(author.random.below(2))
                .overload(overload)
                .build()
        });
        let background = Background::builder()
            .limit(1 + author.random.below(3))
            .queue(author.random.below(4))
            .build();
        Arc::new_cyclic(|world: &Weak<Self>| Self {
            pool,
            background,
            lazies: (0..LAZIES).map(|_| Self::lazy(world, author)).collect(),
            groups: Mutex::default(),
            journal: Mutex::default(),
        })
    }

    fn lazy(world: &Weak<Self>, author: &mut Author) -> AsyncLazy<(), Interrupted> {
        let (world, program) = (world.clone(), author.computation());
        let lazy = AsyncLazy::builder(move || {
            let program = program.clone();
            let world = world.upgrade();
            async move {
                match world {
                    Some(world) => world.run(&program).await,
                    None => Ok(()),
                }
            }
        })
        .keep_warm(author.random.below(2) == 0);
        match author.random.below(3) {
            0 => lazy.timeout(milliseconds(2)),
            1 => lazy.ttl(milliseconds(1)),
            _ => lazy,
        }
        .build()
    }

    pub(crate) fn journal(&self) -> Vec<String> {
        self.journal.lock().unwrap().clone()
    }

    fn note(&self, what: impl Into<String>) {
        self.journal.lock().unwrap().push(what.into());
    }

    fn group(&self, back: usize) -> Option<Spawner<'static, Interrupted>> {
        let groups = self.groups.lock().unwrap();
        let place = groups.len().checked_sub(1 + back)?;
        Some(groups[place].clone())
    }

    /// Ends what outlives the program.
    pub(crate) async fn end(&self) {
        let at_once = Drain {
            wait: Duration::ZERO,
            cancel: milliseconds(2),
        };
        self.background.drain(at_once).await;
        if let Some(pool) = &self.pool {
            pool.close().await;
        }
    }

    pub(crate) fn run(self: &Arc<Self>, program: &Shared) -> BoxFuture<'static, Outcomes> {
        let (world, program) = (self.clone(), program.clone());
        async move {
            let result = world.execute(&program).await;
            world.note(format!("{result:?}"));
            result
        }
        .boxed()
    }

    async fn execute(self: &Arc<Self>, program: &Program) -> Outcomes {
        match program {
            Program::Nothing => Ok(()),
            Program::Yields(times) => {
                for _ in 0..*times {
                    yield_now().await;
                }
                Ok(())
            }
            Program::Sleeps(time) => {
                sleep(milliseconds(*time)).await;
                Ok(())
            }
            Program::Stays => pending().await,
            Program::Fails => Err(FAILURE),
            Program::Panics => panics(),
            Program::CancelsGroup(back) => {
                if let Some(group) = self.group(*back) {
                    group.cancel();
                }
                Ok(())
            }
            Program::SpawnsOn(back, parallel, program) => {
                if let Some(group) = self.group(*back) {
                    let child = self.run(program);
                    drop(if *parallel {
                        group.spawn_parallel(child)
                    } else {
                        group.spawn(child)
                    });
                }
                Ok(())
            }
            Program::InOrder(programs) => {
                for program in programs {
                    self.run(program).await?;
                }
                Ok(())
            }
            Program::AtOnce(programs) => {
                let results = join_all(programs.iter().map(|program| self.run(program))).await;
                results.into_iter().collect()
            }
            Program::Left(polls, program) => left_after(*polls, self.run(program))
                .await
                .unwrap_or(Ok(())),
            Program::Custom(plan, program) => self.custom(plan, program).await,
            Program::Group(plan) => self.run_group(plan).await,
            Program::Race(plan) => self.race(plan).await,
            Program::Hedge(plan) => self.hedge(plan).await,
            Program::Pool(plan) => self.pool(plan).await,
            Program::Lazy(which, plan) => self.use_lazy(&self.lazies[*which], plan).await,
            Program::Background(plan, program) => self.background(plan, program).await,
            Program::DrainsBackground(patience) => {
                let drain = Drain {
                    wait: milliseconds(*patience),
                    cancel: milliseconds(1),
                };
                self.background.drain(drain).await;
                Ok(())
            }
        }
    }

    async fn custom(self: &Arc<Self>, plan: &CustomPlan, program: &Shared) -> Outcomes {
        match plan {
            CustomPlan::Run => observe::custom("run").run(self.run(program)).await,
            CustomPlan::Request => observe::request("GET /").run(self.run(program)).await,
            CustomPlan::PolledByHand => {
                let work = observe::custom("by hand");
                let mut future = self.run(program);
                work.update(&Update::Progress { done: 1, total: 2 });
                let result = poll_fn(|cx| work.poll(|| future.as_mut().poll(cx))).await;
                drop(future);
                work.end(match result {
                    Ok(()) => &Outcome::Completed,
                    Err(_) => &Outcome::Failed(Some("it failed")),
                });
                result
            }
        }
    }

    async fn run_group(self: &Arc<Self>, plan: &GroupPlan) -> Outcomes {
        let mut builder = TaskGroup::builder();
        if let Some(timeout) = plan.timeout {
            builder = builder.timeout(milliseconds(timeout));
        }
        if let Some(limit) = plan.limit {
            builder = builder.limit(limit);
        }
        if let Some(grace) = plan.grace {
            builder = builder.grace(milliseconds(grace));
        }
        if plan.goes_on {
            builder = builder.on_error(OnError::Continue);
        }
        let group: Group = builder.build();
        self.groups.lock().unwrap().push(group.spawner());
        let mut handles = Handles::default();
        for (sort, fate, program) in &plan.children {
            self.spawn(&group, sort, fate, program, &mut handles);
        }
        let Handles {
            awaited,
            cancelled,
            afterwards,
        } = handles;
        let body = async {
            cancelled.iter().for_each(Task::cancel);
            if plan.in_order {
                group.map(&plan.items, |item| self.run(item)).await?;
            } else {
                let mut items = group.map_unordered(&plan.items, |item| self.run(item));
                while let Some(item) = items.next().await {
                    item?;
                }
            }
            self.run(&plan.body).await?;
            for task in awaited {
                task.await?;
            }
            Ok(())
        };
        let result = match plan.end {
            GroupEnd::Run => group.run(body).await,
            GroupEnd::RunTwice => {
                let result = group.run(body).await;
                // It is over, and says so again.
                result.and(group.join().await)
            }
            GroupEnd::RunLeft(polls) => {
                let run = group.run(body).boxed();
                left_after(polls, run).await.unwrap_or(Ok(()))
            }
            GroupEnd::DroppedUnused => {
                drop(body);
                Ok(())
            }
        };
        drop(group);
        for task in afterwards {
            let _ = task.await;
        }
        result
    }

    fn spawn(
        self: &Arc<Self>,
        group: &Group,
        sort: &ChildSort,
        fate: &HandleFate,
        program: &Shared,
        handles: &mut Handles,
    ) {
        let future = self.run(program);
        let task = match sort {
            ChildSort::Child => group.spawn(future),
            ChildSort::Named => group.spawn_named("named", future),
            ChildSort::Parallel => group.spawn_parallel(future),
            ChildSort::Daemon => return group.spawn_daemon(future.map(drop)),
            ChildSort::Finalizer => return group.defer(future.map(drop)),
        };
        match fate {
            HandleFate::Dropped => drop(task),
            HandleFate::Awaited => handles.awaited.push(task),
            HandleFate::AwaitedAfterTheGroup => handles.afterwards.push(task),
            HandleFate::Cancelled => task.cancel(),
            HandleFate::CancelledInTheBody => handles.cancelled.push(task),
        }
    }

    async fn race(self: &Arc<Self>, plan: &RacePlan) -> Outcomes {
        let candidates = plan.candidates.iter().map(|(start, limit, program)| {
            let mut candidate = Candidate::new("candidate", self.run(program));
            if let Some(limit) = limit {
                candidate = candidate.timeout(milliseconds(*limit));
            }
            match start {
                Start::Now => candidate,
                Start::After(delay) => candidate.after(milliseconds(*delay)),
                Start::OnFailure => candidate.on_failure(),
            }
        });
        let mut race =
            run_until_first_complete(candidates).on_discard(|()| drop(observe::custom("discards")));
        if let Some(limit) = plan.timeout {
            race = race.timeout(milliseconds(limit));
        }
        if plan.refuses {
            race = race.accept(|()| false);
        }
        if plan.fatal {
            race = race.fatal(|_| true);
        }
        if plan.first_completed {
            race = race.first_completed();
        }
        race.await.map_err(|_| FAILURE)
    }

    async fn hedge(self: &Arc<Self>, plan: &HedgePlan) -> Outcomes {
        let hedge = Hedge::builder()
            .max_attempts(plan.attempts.len())
            .delay(
                plan.delay
                    .map_or(Delay::Zero, |delay| Delay::Fixed(milliseconds(delay))),
            )
            .budget(1.0)
            .build();
        let run = hedge.run(|attempt| {
            let program = &plan.attempts[(attempt.number - 1) % plan.attempts.len()];
            self.run(program)
        });
        run.await.map_err(|_| FAILURE)
    }

    async fn pool(self: &Arc<Self>, plan: &PoolPlan) -> Outcomes {
        let Some(pool) = &self.pool else {
            return Ok(());
        };
        let closure = plan.closure;
        let call = match plan.call {
            PoolCallPlan::Run => pool.run(move || close(closure)).boxed(),
            PoolCallPlan::RunWith => pool
                .run_with(move |token| {
                    for _ in 0..5 {
                        if !token.is_cancelled() {
                            thread::sleep(milliseconds(1));
                        }
                    }
                    close(closure);
                })
                .boxed(),
            PoolCallPlan::TryRun => match pool.try_run(move || close(closure)) {
                Ok(call) => call,
                Err(_handed_back) => return Err(FAILURE),
            },
        };
        let answer = match plan.left {
            Some(polls) => left_after(polls, call).await.unwrap_or(Ok(())),
            None => call.await,
        };
        answer.map_err(|_| FAILURE)
    }

    async fn use_lazy(
        self: &Arc<Self>,
        lazy: &AsyncLazy<(), Interrupted>,
        plan: &LazyPlan,
    ) -> Outcomes {
        let answer = match plan {
            LazyPlan::Gets => lazy.get().await,
            LazyPlan::Refreshes => lazy.refresh().await,
            LazyPlan::Resets => {
                lazy.reset();
                return Ok(());
            }
            LazyPlan::Sets => {
                lazy.set(());
                return Ok(());
            }
            LazyPlan::Carried | LazyPlan::CarriedAndDropped => {
                let carrier = observe::custom("carrier");
                let mut call = lazy.refresh();
                let first = carrier.scope(|| (&mut call).now_or_never());
                carrier.end(&Outcome::Completed);
                match (first, plan) {
                    (Some(answer), _) => answer,
                    (None, LazyPlan::Carried) => call.await,
                    _ => return Ok(()),
                }
            }
        };
        answer.map(drop).map_err(|_| FAILURE)
    }

    async fn background(self: &Arc<Self>, plan: &BackgroundPlan, program: &Shared) -> Outcomes {
        let (world, again) = (self.clone(), program.clone());
        let work = move |cx: TaskContext| {
            cx.progress(1, 2);
            cx.message("it works");
            let work = world.run(&again);
            async move {
                tokio::select! { biased; _ = cx.cancelled() => Ok(()), result = work => result }
            }
        };
        let mut task = self.background.task("task");
        if let Some(limit) = plan.timeout {
            task = task.timeout(milliseconds(limit));
        }
        if plan.unique {
            task = task.unique("key");
        }
        let retry = Retry::exponential(Duration::ZERO, Duration::ZERO).attempts(plan.attempts);
        let handle = match plan.spawn {
            BackgroundSpawn::Future => {
                drop(work);
                let future = self.run(program);
                self.background.spawn_future("without a context", future)
            }
            BackgroundSpawn::Closure if plan.attempts == 1 => {
                task.spawn(work).map_err(|_| FAILURE)?
            }
            BackgroundSpawn::Closure => task.retry(retry).spawn(work).map_err(|_| FAILURE)?,
            BackgroundSpawn::Fallible => task
                .retry(retry)
                .spawn_fallible(work)
                .map_err(|_| FAILURE)?,
            BackgroundSpawn::Every => {
                let every = self
                    .background
                    .every("schedule", milliseconds(1), move |cx| work(cx).map(drop));
                drop(every.map_err(|_| FAILURE)?);
                return Ok(());
            }
        };
        after(handle, &plan.handle).await.unwrap_or(Ok(()))
    }
}

#[derive(Default)]
struct Handles {
    awaited: Vec<Task<'static, (), Interrupted>>,
    cancelled: Vec<Task<'static, (), Interrupted>>,
    afterwards: Vec<Task<'static, (), Interrupted>>,
}

/// What becomes of the handle of a background task.
async fn after<T>(handle: BackgroundTask<T>, plan: &BackgroundHandle) -> Result<T, ()> {
    match plan {
        BackgroundHandle::Dropped => {
            drop(handle);
            Err(())
        }
        BackgroundHandle::Awaited => handle.await.map_err(drop),
        BackgroundHandle::Cancelled => {
            handle.cancel();
            handle.await.map_err(drop)
        }
        BackgroundHandle::Scoped => handle.scoped().await.map_err(drop),
    }
}

/// What runs on a thread of the pool.
fn close(plan: ClosurePlan) {
    match plan {
        ClosurePlan::Returns => {}
        ClosurePlan::Sleeps => thread::sleep(milliseconds(1)),
        ClosurePlan::Panics => panics(),
        ClosurePlan::MakesWork => {
            let work = observe::custom("on the pool");
            work.scope(|| drop(observe::custom("deeper")));
        }
    }
}

/// Polls the future so many times at the most, then drops it.
pub(crate) async fn left_after<T>(polls: usize, mut future: BoxFuture<'_, T>) -> Option<T> {
    for _ in 0..polls {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(value) = polled {
            return Some(value);
        }
        yield_now().await;
    }
    None
}
