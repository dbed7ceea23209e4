//! Who enqueued a job: work of this process, or a trace that goes through several.

use std::sync::LazyLock;

use nexios::observe::{self, WorkId};

/// Tells the numbers of this process's work from those of others.
static PROCESS: LazyLock<String> = LazyLock::new(crate::random::name);

/// Says the `traceparent` that is current, if there is one.
pub(crate) type Traceparent = fn() -> Option<String>;

/// What stands in the row of a job: the process, the number of its work, and the `traceparent`, each of which may be
/// missing.
pub(crate) fn current(traceparent: Option<Traceparent>) -> Option<String> {
    let traceparent = traceparent.and_then(|traceparent| traceparent());
    let work = observe::current().map(|work| format!("{}:{work}", *PROCESS));
    match (work, traceparent) {
        (None, None) => None,
        (work, traceparent) => Some(format!(
            "{} {}",
            work.unwrap_or_default(),
            traceparent.unwrap_or_default()
        )),
    }
}

/// The work that enqueued it, if it is this process's.
pub(crate) fn work(origin: &str) -> Option<WorkId> {
    let (work, _) = origin.split_once(' ')?;
    let (process, number) = work.split_once(':')?;
    let number = number.parse().ok()?;
    (process == *PROCESS).then_some(WorkId(number))
}

/// The `traceparent` it was enqueued under.
pub(crate) fn traceparent(origin: &str) -> Option<&str> {
    let (_, traceparent) = origin.split_once(' ')?;
    (!traceparent.is_empty()).then_some(traceparent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_says_the_work_to_its_own_process_and_the_trace_to_all() {
        assert_eq!(current(None), None);
        let foreign = "00ff:7 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(work(foreign), None);
        assert!(traceparent(foreign).is_some_and(|text| text.ends_with("-01")));
        let own = format!("{}:7 ", *PROCESS);
        assert_eq!(work(&own), Some(WorkId(7)));
        assert_eq!(traceparent(&own), None);
    }
}
