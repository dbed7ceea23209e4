//! How slowly a body may arrive.

use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    task::unconstrained,
    time::{Instant, sleep_until},
};

/// How long a client may be silent.
const WINDOW: Duration = Duration::from_secs(10);
/// What it has to send in that time: 52 kbit/s, which the slowest of phones can do.
const LEAST_IN_A_WINDOW: usize = 64 * 1024;
/// How long a body may take in all; 20 MB need 1.4 Mbit/s.
const LONGEST: Duration = Duration::from_secs(120);

/// The body does not arrive, or not fast enough.
#[derive(Debug)]
pub(super) struct TooSlow;

/// Waits for what reads a body, for as long as the body makes progress: one that stalls is given up.
pub(super) async fn keep<T>(
    received: &AtomicUsize,
    reading: impl Future<Output = T>,
) -> Result<T, TooSlow> {
    let mut reading = pin!(reading);
    let end = Instant::now() + LONGEST;
    loop {
        // Relaxed, here and below: a count to look at; nobody synchronises through it.
        let before = received.load(Ordering::Relaxed);
        let window_ends = (Instant::now() + WINDOW).min(end);
        tokio::select! {
            read = &mut reading => return Ok(read),
            // Outside of the budget that a fast body spends: it has to be looked at then, too.
            () = unconstrained(sleep_until(window_ends)) => {}
        }
        let progress = received.load(Ordering::Relaxed) - before;
        if progress < LEAST_IN_A_WINDOW || Instant::now() >= end {
            return Err(TooSlow);
        }
    }
}

/// The rule in a client's words.
pub(super) fn explanation() -> String {
    let (window, longest) = (WINDOW.as_secs(), LONGEST.as_secs());
    let kilobytes = LEAST_IN_A_WINDOW / 1024;
    format!(
        "An upload takes at most {longest} seconds and sends at least {kilobytes} kB every {window} seconds."
    )
}
