//! The end of the process, each time in a process of its own: the ignored tests here are what those run.

use std::{
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use nexios::{Overload, ThreadPool, run_in_threadpool};
use tokio::runtime::Builder;

#[cfg(not(feature = "test-util"))]
use super::Gate;
use super::pool;

/// Far more than any of these processes needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps a pool, and so its threads, until the end of the process.
static KEPT: OnceLock<ThreadPool> = OnceLock::new();

struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // Only one that does not end by itself is still there.
        let _ = self.0.kill();
    }
}

/// Runs one ignored test of this file as a process, and checks that it comes to its end.
fn ends_by_itself(test: &str) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", &format!("pool::process::{test}")])
        .stdout(Stdio::null())
        .spawn();
    let mut process = Ends(child.unwrap());
    let begin = Instant::now();
    loop {
        if let Some(status) = process.0.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return;
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "{test} holds up the end of its process"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// Threads that sleep hold up neither the end of a runtime nor that of the process.
#[test]
fn idle_pools_do_not_hold_up_the_end_of_the_process() {
    ends_by_itself("process_with_idle_pools");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn process_with_idle_pools() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let kept = KEPT.get_or_init(|| pool(3, 4, Overload::Wait));
    runtime.block_on(async {
        assert_eq!(run_in_threadpool(|| 1).await, 1);
        let jobs = (0..6).map(|number| kept.run(move || number));
        assert!(
            futures_util::future::join_all(jobs)
                .await
                .iter()
                .all(Result::is_ok)
        );
    });
    drop(runtime);
}

/// P10, PITFALLS 2.4 (tokio#5360): a closure that never ends is left behind after the drain. (With `test-util`
/// a runtime waits for outstanding jobs, as documented.)
#[cfg(not(feature = "test-util"))]
#[test]
fn after_a_drain_a_stuck_closure_does_not_hold_up_the_end_of_the_process() {
    ends_by_itself("process_with_a_stuck_closure");
}

#[cfg(not(feature = "test-util"))]
#[test]
#[ignore = "run by the test above, in a process of its own"]
fn process_with_a_stuck_closure() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let gate = Gate::default();
    let kept = KEPT.get_or_init(|| pool(1, 4, Overload::Wait));
    let stuck = {
        let _runtime = runtime.enter();
        kept.try_run(gate.guard()).ok().unwrap()
    };
    while gate.arrived() == 0 {
        thread::yield_now();
    }
    let report = runtime.block_on(kept.drain(Duration::from_millis(10)));
    assert_eq!(report.still_running, 1);
    drop(runtime);
    // The gate stays closed.
    std::mem::forget((stuck, gate));
}
