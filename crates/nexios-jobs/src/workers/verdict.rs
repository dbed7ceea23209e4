//! What an attempt's end means for its job.

use nexios::CancelReason;

use crate::{
    engine::{Cause, End},
    job_error::{JobError, Wish, shortened},
    policy::Policy,
};

use super::kind_handler::Fault;

/// How an attempt ended.
pub(super) enum Exit {
    Returned(Result<String, Fault>),
    Panicked(String),
    /// Dropped after the grace.
    Overdue,
    /// Cut off by a drain, or never begun.
    CutOff,
}

/// The verdict on attempt `number`, whose token fired for `reason`, if it did.
pub(super) fn verdict(
    exit: Exit,
    reason: Option<CancelReason>,
    number: u32,
    policy: &Policy,
) -> End {
    let fault = match exit {
        // A value is the output, whatever fired meanwhile.
        Exit::Returned(Ok(output)) => return End::Completed(output),
        Exit::Returned(Err(Fault::Payload(text))) => return End::Dead(shortened(text)),
        Exit::CutOff => return End::HandedBack,
        Exit::Returned(Err(Fault::Error(error))) => error,
        Exit::Panicked(text) => JobError::from(format!("panicked: {text}")),
        Exit::Overdue => JobError::from(match policy.timeout {
            Some(limit) => format!("did not end within {limit:?}"),
            None => "did not end in its grace".to_owned(),
        }),
    };
    match reason {
        Some(CancelReason::Requested) => return End::Cancelled,
        // Not its fault. If the lease is lost indeed, this is refused anyway.
        Some(CancelReason::Shutdown | CancelReason::OwnerDropped) => return End::HandedBack,
        _ => {}
    }
    let after = match fault.wish {
        Wish::Never => return End::Failed(fault.text),
        Wish::Snooze(after) => {
            return End::Again {
                after,
                cause: Cause::Snoozed,
            };
        }
        _ if number >= policy.attempts => return End::Dead(fault.text),
        Wish::After(after) => after,
        Wish::ByPolicy => policy.backoff.delay_after(number),
    };
    End::Again {
        after,
        cause: Cause::Failed(fault.text),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn failed(error: JobError) -> Exit {
        Exit::Returned(Err(Fault::Error(error)))
    }

    fn policy() -> Policy {
        Policy::new()
            .attempts(3)
            .backoff(Duration::from_secs(8), Duration::from_secs(60))
    }

    #[test]
    fn an_error_is_tried_again_by_the_policy_until_the_attempts_are_spent() {
        for (number, most) in [(1, 8), (2, 16)] {
            let end = verdict(failed("busy".into()), None, number, &policy());
            let End::Again {
                after,
                cause: Cause::Failed(error),
            } = end
            else {
                panic!("{end:?}");
            };
            assert_eq!(error, "busy");
            let most = Duration::from_secs(most);
            assert!(after > most / 2 && after <= most, "{after:?}");
        }
        let end = verdict(failed("busy".into()), None, 3, &policy());
        assert_eq!(end, End::Dead("busy".to_owned()));
        let end = verdict(
            Exit::Panicked("at the disco".to_owned()),
            None,
            3,
            &policy(),
        );
        assert_eq!(end, End::Dead("panicked: at the disco".to_owned()));
    }

    #[test]
    fn the_handler_says_when_and_whether_again() {
        let hour = Duration::from_secs(3600);
        let end = verdict(failed(JobError::discard("no")), None, 1, &policy());
        assert_eq!(end, End::Failed("no".to_owned()));
        let end = verdict(failed(JobError::snooze(hour)), None, 3, &policy());
        let again = |cause| End::Again { after: hour, cause };
        assert_eq!(end, again(Cause::Snoozed), "a snooze spends no attempt");
        let end = verdict(
            failed(JobError::retry_in(hour, "later")),
            None,
            2,
            &policy(),
        );
        assert_eq!(end, again(Cause::Failed("later".to_owned())));
        let end = verdict(
            failed(JobError::retry_in(hour, "later")),
            None,
            3,
            &policy(),
        );
        assert_eq!(
            end,
            End::Dead("later".to_owned()),
            "it is an attempt like others"
        );
    }

    #[test]
    fn a_value_is_the_output_and_anything_else_is_what_the_token_fired_for() {
        for reason in [
            CancelReason::Requested,
            CancelReason::Shutdown,
            CancelReason::Deadline,
        ] {
            let end = verdict(
                Exit::Returned(Ok("1".to_owned())),
                Some(reason),
                1,
                &policy(),
            );
            assert_eq!(end, End::Completed("1".to_owned()));
        }
        for exit in [
            failed(JobError::discard("no")),
            Exit::Overdue,
            Exit::Panicked(String::new()),
        ] {
            let end = verdict(exit, Some(CancelReason::Requested), 1, &policy());
            assert_eq!(end, End::Cancelled);
        }
        for reason in [CancelReason::Shutdown, CancelReason::OwnerDropped] {
            let end = verdict(failed("stopped".into()), Some(reason), 3, &policy());
            assert_eq!(end, End::HandedBack);
        }
        assert_eq!(verdict(Exit::CutOff, None, 3, &policy()), End::HandedBack);
    }

    #[test]
    fn what_cannot_be_read_or_written_is_dead_at_once() {
        let unreadable = Exit::Returned(Err(Fault::Payload("no number".to_owned())));
        assert_eq!(
            verdict(unreadable, None, 1, &policy()),
            End::Dead("no number".to_owned())
        );
    }
}
