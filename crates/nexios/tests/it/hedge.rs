//! Hedges: when attempts start, what the budget allows, what the percentile learns.

mod budget;
mod busy;
mod percentile;
mod policy;
mod tail;

use std::future::Future;

use nexios::{Attempt, Hedge, HedgeStats};

use crate::race::{Log, ms};

const NAMES: [&str; 10] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];

/// The operation whose nth attempt takes and returns what the nth line says.
fn script<const N: usize>(
    log: &Log,
    lines: [(u64, Result<&'static str, &'static str>); N],
) -> impl Fn(Attempt) -> std::pin::Pin<Box<dyn Future<Output = Result<&'static str, &'static str>> + Send>>
{
    let log = log.clone();
    move |attempt| {
        let index = attempt.number - 1;
        let (millis, outcome) = lines[index];
        Box::pin(log.work(NAMES[index], millis, outcome))
    }
}

/// Runs one call whose only attempt that matters takes so long.
async fn call(hedge: &Hedge, millis: u64) {
    let answer = hedge
        .run(|_| async move {
            tokio::time::sleep(ms(millis)).await;
            Ok::<_, ()>(())
        })
        .await;
    assert!(answer.is_ok());
}

/// Calls, hedges started, won, suppressed, when no call is under way.
fn counts(stats: &HedgeStats) -> [u64; 4] {
    assert_eq!(
        stats.hedges_won + stats.hedges_wasted,
        stats.hedges_started,
        "every hedge has ended: {stats:?}"
    );
    [
        stats.calls,
        stats.hedges_started,
        stats.hedges_won,
        stats.hedges_suppressed,
    ]
}
