//! The signals that end a service.

use std::{
    io,
    time::{Duration, Instant},
};

/// Within so long of the one before, a signal is a repeat of it: `timeout`, shells and terminals send one to a
/// process and once more to its process group.
const REPEAT: Duration = Duration::from_millis(100);

/// SIGTERM and SIGINT (Ctrl-C), as long as this lives.
///
/// Before there is one, both end the process at once; from then on they only do what is done about them.
#[derive(Debug)]
pub(crate) struct Signals {
    system: System,
    /// When the last one came that was no repeat.
    last: Option<Instant>,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Signals {
            system: System::listen()?,
            last: None,
        })
    }

    /// Waits for the next signal and returns its name; none is lost between two calls, and repeats are left out.
    pub(crate) async fn next(&mut self) -> &'static str {
        loop {
            let name = self.system.next().await;
            if !is_repeat(&mut self.last, Instant::now()) {
                return name;
            }
        }
    }
}

fn is_repeat(last: &mut Option<Instant>, now: Instant) -> bool {
    let repeat = last.is_some_and(|last| now.duration_since(last) < REPEAT);
    if !repeat {
        *last = Some(now);
    }
    repeat
}

#[cfg(unix)]
#[derive(Debug)]
struct System {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl System {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(System {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            Some(()) = self.terminate.recv() => "SIGTERM",
            Some(()) = self.interrupt.recv() => "SIGINT",
            else => std::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
#[derive(Debug)]
struct System;

#[cfg(not(unix))]
impl System {
    fn listen() -> io::Result<Self> {
        Ok(System)
    }

    async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            Err(_) => std::future::pending().await,
        }
    }
}

/// Here because a process has no say in how soon the system hands it a signal.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_within_100_ms_of_the_one_before_is_a_repeat() {
        let begin = Instant::now();
        let mut last = None;
        let repeats = [0, 3, 90, 300, 400, 499]
            .map(|at| is_repeat(&mut last, begin + Duration::from_millis(at)));
        assert_eq!(repeats, [false, true, true, false, false, true]);
        // Somebody who keeps the key pressed is impatient all the same.
        let mut last = None;
        let repeats =
            [0, 80, 160, 240].map(|at| is_repeat(&mut last, begin + Duration::from_millis(at)));
        assert_eq!(repeats, [false, true, false, true]);
    }
}
