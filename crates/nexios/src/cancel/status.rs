//! What an interruption is as a status, for services that have no other error.

use super::{interrupted::Interrupted, reason::CancelReason};

/// At the deadline 504, in a shutdown and on request 503, for a client that has gone 499, else 500. `nexios_axum::Problem` has its
/// status from here.
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
impl From<Interrupted> for http::StatusCode {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::DeadlineExceeded | Interrupted::Cancelled(CancelReason::Deadline) => {
                Self::GATEWAY_TIMEOUT
            }
            Interrupted::Cancelled(CancelReason::Shutdown | CancelReason::Requested) => {
                Self::SERVICE_UNAVAILABLE
            }
            Interrupted::Cancelled(CancelReason::ClientDisconnected) => {
                Self::from_u16(499).unwrap_or(Self::BAD_REQUEST)
            }
            Interrupted::Cancelled(_) => Self::INTERNAL_SERVER_ERROR,
        }
    }
}

/// At the deadline `DEADLINE_EXCEEDED`, in a shutdown and on request `UNAVAILABLE`, for a client that has gone `CANCELLED`,
/// else `INTERNAL`.
#[cfg(feature = "tonic")]
#[cfg_attr(docsrs, doc(cfg(feature = "tonic")))]
impl From<Interrupted> for tonic::Status {
    fn from(interrupted: Interrupted) -> Self {
        let code = match interrupted {
            Interrupted::DeadlineExceeded | Interrupted::Cancelled(CancelReason::Deadline) => {
                tonic::Code::DeadlineExceeded
            }
            Interrupted::Cancelled(CancelReason::Shutdown | CancelReason::Requested) => {
                tonic::Code::Unavailable
            }
            Interrupted::Cancelled(CancelReason::ClientDisconnected) => tonic::Code::Cancelled,
            Interrupted::Cancelled(_) => tonic::Code::Internal,
        };
        Self::new(code, interrupted.to_string())
    }
}

#[cfg(all(test, any(feature = "http", feature = "tonic")))]
mod tests {
    use super::{CancelReason, Interrupted};

    const INTERRUPTIONS: [Interrupted; 6] = [
        Interrupted::DeadlineExceeded,
        Interrupted::Cancelled(CancelReason::Deadline),
        Interrupted::Cancelled(CancelReason::Shutdown),
        Interrupted::Cancelled(CancelReason::Requested),
        Interrupted::Cancelled(CancelReason::ClientDisconnected),
        Interrupted::Cancelled(CancelReason::SiblingFailed),
    ];

    #[cfg(feature = "http")]
    #[test]
    fn an_interruption_is_a_status_of_http() {
        let codes = INTERRUPTIONS.map(|why| http::StatusCode::from(why).as_u16());
        assert_eq!(codes, [504, 504, 503, 503, 499, 500]);
    }

    #[cfg(feature = "tonic")]
    #[test]
    fn an_interruption_is_a_status_of_grpc() {
        use tonic::Code;

        let codes = INTERRUPTIONS.map(|why| tonic::Status::from(why).code());
        let expected = [
            Code::DeadlineExceeded,
            Code::DeadlineExceeded,
            Code::Unavailable,
            Code::Unavailable,
            Code::Cancelled,
            Code::Internal,
        ];
        assert_eq!(codes, expected);
        let status = tonic::Status::from(Interrupted::DeadlineExceeded);
        assert_eq!(status.message(), "deadline exceeded");
    }
}
