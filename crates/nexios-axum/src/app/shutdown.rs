//! The way from the first word of the end to the end.
//!
//! # Invariants
//!
//! 1. Each wait is bounded by an instant of the schedule, so the whole is bounded by its end.
//! 2. A further stop moves those instants to the front, and wakes whoever waits for one.
//! 3. Requests, sockets, background tasks and pool closures are waited for side by side.

use std::{
    future::{Future, pending},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::future::{Either, join, join_all, join3, select};
use nexios::{CancelReason, CancelToken, Drain, DrainReport, Drainable};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use super::{
    connection_control::{Order, Unfinished},
    hooks::Hook,
    life::{Life, Stops},
    names::counted,
    phase::Phase,
    report::ShutdownReport,
    shutdown_limits::{Limits, Schedule},
};
use crate::{log::log, punctual::punctual, request::Requests, text::in_short};

/// How long a client that has begun to send a head, or has just connected, may take for it after the close.
const LAST_HEAD: Duration = Duration::from_millis(500);

/// How long to wait for what was dropped to be gone. Only code that holds its thread uses it up.
const UNWIND: Duration = Duration::from_millis(200);

/// Pool closures cannot tell us that they have ended, so we look this often.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What has to end.
pub(crate) struct Shutdown {
    pub(crate) life: Arc<Life>,
    pub(crate) limits: Limits,
    pub(crate) requests: WatchedRequests,
    pub(crate) backgrounds: Vec<Arc<dyn Drainable>>,
    /// Whether answers that were cut off make the end a bad one.
    pub(crate) strict: bool,
}

/// The requests, and the token that ends them.
pub(crate) struct WatchedRequests {
    pub(crate) requests: Requests,
    pub(crate) cancelling: CancelToken,
}

/// The schedule, and ears for those who want it to go faster.
struct Pace {
    schedule: Schedule,
    stops: watch::Receiver<Stops>,
}

impl Pace {
    /// Drives `work` until it is done or the schedule is at `limit`; true when it is done.
    async fn within(
        &mut self,
        limit: impl Fn(&Schedule) -> Instant,
        work: impl Future<Output = ()>,
    ) -> bool {
        // One future for all turns: begun anew, it would miss what it has seen, and a hook would run twice.
        let mut work = pin!(work);
        loop {
            // Made anew each turn: a stop has moved the limit.
            let ours = pin!(punctual(timeout_at(
                limit(&self.schedule),
                self.stops.changed()
            )));
            match select(work.as_mut(), ours).await {
                Either::Left(_) => return true,
                Either::Right((Ok(Ok(())), _)) => {
                    log(|| tracing::warn!("asked to stop once more: the next phase begins now"));
                    self.schedule.hurry(Instant::now());
                }
                // The limit; no error of the channel, as the sender lives as long as the service.
                Either::Right(_) => return false,
            }
        }
    }
}

impl Shutdown {
    /// Ends a service that has been told to.
    pub(crate) async fn run(
        self,
        hooks: Vec<Hook>,
        mut stops: watch::Receiver<Stops>,
    ) -> ShutdownReport {
        let begun = Instant::now();
        let Stops { count, cause } = *stops.borrow_and_update();
        let cause = cause.unwrap_or("it could not start");
        let mut pace = Pace {
            schedule: Schedule::new(self.limits, begun),
            stops,
        };
        // Those that came together with the first one: the channel tells only that there are news, not how many.
        (1..count).for_each(|_| pace.schedule.hurry(begun));
        let mut report = ShutdownReport::new(cause, self.strict);
        let accepting = pace.schedule.close - begun;
        log(|| tracing::info!(cause, ?accepting, total = ?self.limits.total, "draining"));
        // Before the phase: who has seen it may rely on answers that send their clients elsewhere.
        self.life.connections.tell(Order::Drain);
        self.life.enter(Phase::Draining);
        pace.within(|schedule| schedule.close, pending()).await;

        self.end_work(&mut pace, &mut report).await;
        run_hooks(hooks, &mut pace, &mut report).await;
        report.elapsed = begun.elapsed();
        report.end = pace.schedule.end.into_std();
        self.life.enter(Phase::Stopped);
        report
    }

    async fn end_work(&self, pace: &mut Pace, report: &mut ShutdownReport) {
        let life = &self.life;
        log(|| {
            tracing::info!(
                connections = life.connections.len(),
                sockets = life.sockets.len(),
                "closing"
            );
        });
        life.enter(Phase::Closing);
        life.closing.cancel(CancelReason::Shutdown);
        life.connections.tell(Order::Close);
        // As a task: a registry that is being drained goes on with it if this future is dropped.
        let drained = self.drain(&pace.schedule);
        let mut work = pin!(punctual(self.work(drained.clone())));
        // A moment for those whose request is on its way; after it silent connections only hold the end up.
        let last_head = Instant::now() + LAST_HEAD;
        let mut done = pace
            .within(|schedule| schedule.cancel.min(last_head), work.as_mut())
            .await;
        if !done {
            life.connections.tell(Order::DropIdle);
            let left = pace
                .schedule
                .cancel
                .saturating_duration_since(Instant::now());
            if !left.is_zero() {
                log(|| {
                    let work = self.unfinished();
                    tracing::info!(count = work.len(), unfinished = ?counted(&work), ?left, "waiting");
                });
            }
            done = pace.within(|schedule| schedule.cancel, work.as_mut()).await;
        }
        if !done {
            log(|| {
                let work = self.unfinished();
                tracing::warn!(count = work.len(), unfinished = ?counted(&work), "cancelling");
            });
            // The phase before the tokens: who is woken by one may ask for it.
            life.enter(Phase::Cancelling);
            life.cancelling.cancel(CancelReason::Shutdown);
            // Another one than the life's if the router brought a layer with a token of its own.
            self.requests.cancelling.cancel(CancelReason::Shutdown);
            self.hasten_drain(pace.schedule.abort);
            done = pace.within(|schedule| schedule.abort, work.as_mut()).await;
        }
        if !done {
            // Named before they are dropped, which takes them from the lists.
            let left = life.unfinished();
            (report.abandoned, report.cut_off) = (left.work, left.streams);
            life.aborting.cancel(CancelReason::Shutdown);
            life.connections.tell(Order::Abort);
            self.requests.requests.abort_rescued();
            self.hasten_drain(Instant::now());
            let _ = punctual(timeout(UNWIND, work)).await;
        }
        // What those noted that were cut off on the way, be it before the last step or by it.
        report.cut_off.extend(life.connections.take_cut());
        report
            .abandoned
            .extend(self.requests.requests.take_cut_off());
        report.add_drain(drained.borrow().as_ref());
    }

    /// What is not over yet, by name.
    fn unfinished(&self) -> Vec<String> {
        let Unfinished {
            mut work,
            mut streams,
        } = self.life.unfinished();
        work.append(&mut streams);
        work.extend(self.backgrounds.iter().flat_map(|part| part.unfinished()));
        work
    }

    /// All that is waited for.
    async fn work(&self, mut drained: watch::Receiver<Option<DrainReport>>) {
        // An error means that the drain has gone without a report, which is no reason to wait.
        let drained = async { drop(drained.wait_for(Option::is_some).await) };
        let life = &self.life;
        let clients = join3(
            life.connections.wait_until_none(),
            life.sockets.wait_until_empty(),
            self.requests.requests.idle(),
        );
        join(clients, drained).await;
    }

    /// Begins the drain of the background tasks, and waits for pool closures after it.
    fn drain(&self, schedule: &Schedule) -> watch::Receiver<Option<DrainReport>> {
        let (report, drained) = watch::channel(None);
        let (backgrounds, aborting) = (self.backgrounds.clone(), self.life.aborting.clone());
        let wait = schedule.cancel.saturating_duration_since(Instant::now());
        let limits = Drain {
            wait,
            cancel: schedule.abort - schedule.cancel,
        };
        tokio::spawn(async move {
            let mut total = drain_all(&backgrounds, limits).await;
            // The registries are shut now, so that a further drain only counts.
            let count = Drain {
                wait: Duration::ZERO,
                cancel: Duration::ZERO,
            };
            loop {
                total.running_pool_closures =
                    drain_all(&backgrounds, count).await.running_pool_closures;
                if total.running_pool_closures == 0
                    || timeout(LOOK_AGAIN, aborting.cancelled()).await.is_ok()
                {
                    break;
                }
            }
            report.send_replace(Some(total));
        });
        drained
    }

    /// Cancels the background tasks now, and aborts them then: of two drains the shorter limits hold.
    fn hasten_drain(&self, abort: Instant) {
        let backgrounds = self.backgrounds.clone();
        let cancel = abort.saturating_duration_since(Instant::now());
        tokio::spawn(async move {
            drain_all(
                &backgrounds,
                Drain {
                    wait: Duration::ZERO,
                    cancel,
                },
            )
            .await
        });
    }
}

/// Drains all registries at once, and makes one report of theirs.
async fn drain_all(backgrounds: &[Arc<dyn Drainable>], limits: Drain) -> DrainReport {
    let mut total = DrainReport::default();
    for report in join_all(
        backgrounds
            .iter()
            .map(|background| background.drain(limits)),
    )
    .await
    {
        total.completed.extend(report.completed);
        total.failed.extend(report.failed);
        total.cancelled.extend(report.cancelled);
        total.abandoned.extend(report.abandoned);
        total.handed_back.extend(report.handed_back);
        // Of the whole process, in the report of whoever looks at them.
        total.running_pool_closures = total
            .running_pool_closures
            .max(report.running_pool_closures);
    }
    total
}

/// Runs the hooks one after the other; each has an equal share of the time that is left.
async fn run_hooks(hooks: Vec<Hook>, pace: &mut Pace, report: &mut ShutdownReport) {
    let count = hooks.len();
    for (done, hook) in hooks.into_iter().enumerate() {
        let left = u32::try_from(count - done).unwrap_or(u32::MAX);
        let (name, begun) = (hook.name.clone(), Instant::now());
        let mut end = Ok(());
        let share =
            |schedule: &Schedule| begun + schedule.end.saturating_duration_since(begun) / left;
        let ended = pace.within(share, async { end = hook.run().await }).await;
        match end {
            Ok(()) if ended => continue,
            Ok(()) => {
                log(|| tracing::error!(hook = %name, "shutdown hook did not end in its time"));
            }
            Err(error) => log(|| {
                let error = in_short(error.to_string());
                tracing::error!(hook = %name, error, "shutdown hook failed");
            }),
        }
        report.abandoned.push(format!("shutdown hook {name}"));
    }
}
