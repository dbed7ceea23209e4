//! Lines of the log that can cost nothing but themselves.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Writes to the log, or does anything else with a span or an event, and contains a panic of the subscriber.
///
/// A subscriber is code of the user's that runs where we log: in a destructor, in the task of a connection, in
/// the middle of the shutdown. tracing-subscriber's own panics when standard error cannot be written, since it
/// says so there. Without this, such a panic loses the connection, ends the drain, or aborts the process.
///
/// Inside an entered span the line has a guard of its own as well: `log(|| span.in_scope(|| log(|| ..)))`. A
/// panic in the line would unwind through the exit of the span, where a second panic aborts.
pub(crate) fn log(line: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(line))
        && let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic)))
    {
        // What panics when it is dropped is not dropped a second time.
        std::mem::forget(again);
    }
}

#[cfg(test)]
mod tests {
    use super::log;

    struct PanicsInDrop;

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            std::panic::panic_any(PanicsInDrop);
        }
    }

    struct LogsInDrop;

    impl Drop for LogsInDrop {
        fn drop(&mut self) {
            log(|| panic!("standard error is away"));
        }
    }

    #[test]
    fn a_panic_in_a_line_costs_only_the_line() {
        log(|| panic!("standard error is away"));
        log(|| std::panic::panic_any(PanicsInDrop));
        let unwinding = std::panic::catch_unwind(|| {
            let _logs = LogsInDrop;
            panic!("a first panic");
        });
        let panic = unwinding.unwrap_err();
        assert_eq!(
            panic.downcast_ref(),
            Some(&"a first panic"),
            "logging while unwinding does not abort"
        );
    }
}
