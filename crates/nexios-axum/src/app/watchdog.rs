//! The last resort: a thread of its own that ends a process whose runtime cannot.
//!
//! A runtime whose threads are all held by blocking code fires no timer and hears no signal, so the phases of
//! the shutdown do not advance. It is only there under [`run`](crate::run), which owns the process.

use std::{
    io,
    pin::pin,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{
    life::Life,
    names::counted,
    phase::Phase,
    report::ABANDONED,
    shutdown_limits::{Limits, Schedule},
    signals::Signals,
};
use crate::log::log;

/// Whether the process is ours to end.
static ARMED: AtomicBool = AtomicBool::new(false);

/// How long after its limit a shutdown counts as stuck.
const SLACK: Duration = Duration::from_millis(500);

/// How long the last line of the log may take: its writer may be held by the same code as the runtime.
const LAST_LINE: Duration = Duration::from_millis(100);

/// Says that the process ends with its service.
pub(super) fn arm() {
    // Relaxed: the service begins later on the same thread.
    ARMED.store(true, Ordering::Relaxed);
}

/// Watches over the end of a service.
pub(super) fn guard(life: &Arc<Life>, limits: Limits, signals: bool) {
    if !ARMED.load(Ordering::Relaxed) {
        return;
    }
    let life = life.clone();
    let guard = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(watch(&life, limits, signals))
    };
    let guard = thread::Builder::new()
        .name("nexios-watchdog".to_owned())
        .spawn(move || {
            if let Err(error) = guard() {
                log(|| tracing::warn!(%error, "no watchdog"));
            }
        });
    if let Err(error) = guard {
        log(|| tracing::warn!(%error, "no watchdog"));
    }
}

/// Keeps a schedule of its own, and ends the process when that is over and the service is not.
async fn watch(life: &Life, limits: Limits, signals: bool) -> io::Result<()> {
    let mut signals = signals.then(Signals::listen).transpose()?;
    let (mut stops, mut phases) = (life.stops(), life.phases());
    let mut stopped = pin!(phases.wait_for(|phase| *phase == Phase::Stopped));
    // A signal is counted here, and by the service when it has heard of it.
    let (mut signalled, mut heard) = (0, 0);
    let mut schedule: Option<Schedule> = None;
    loop {
        let end = schedule.map(|schedule| schedule.end + SLACK);
        tokio::select! {
            _ = &mut stopped => return Ok(()),
            () = next(&mut signals) => signalled += 1,
            Ok(()) = stops.changed() => {}
            () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => end_process(life),
        }
        let asked = stops.borrow_and_update().count.max(signalled);
        if asked > heard {
            heard = asked;
            match &mut schedule {
                Some(schedule) => schedule.hurry(Instant::now()),
                None => schedule = Some(Schedule::new(limits, Instant::now())),
            }
        }
    }
}

async fn next(signals: &mut Option<Signals>) {
    match signals {
        Some(signals) => drop(signals.next().await),
        None => std::future::pending().await,
    }
}

fn end_process(life: &Life) -> ! {
    let mut abandoned = life.unfinished();
    abandoned.work.append(&mut abandoned.streams);
    let line = move || {
        log(|| {
            let abandoned = counted(&abandoned.work);
            tracing::error!(
                ?abandoned,
                "the runtime is held by blocking code; work was given up"
            );
        });
    };
    // Detached: it may never end.
    drop(thread::Builder::new().spawn(line));
    thread::sleep(LAST_LINE);
    process::exit(i32::from(ABANDONED))
}
