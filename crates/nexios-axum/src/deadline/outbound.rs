use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use nexios::Interrupted;

use super::{Deadline, DeadlineHeader};

/// Kept back from what others are given: the way of their answer to us, and of ours to the client.
const RESERVE: Duration = Duration::from_millis(5);

/// What to send with a call to another service, so that it ends when the request does.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use axum::{body::Body, http::Request};
/// use nexios::{CancelScope, CancelToken};
/// use nexios_axum::{Deadline, DeadlineHeader, HandedOn};
/// use tokio::time::Instant;
///
/// let scope = CancelScope::new(CancelToken::new(), Some(Instant::now() + Duration::from_secs(1)));
/// let handed_on = scope.run(async { Deadline::current().hand_on(DeadlineHeader::ConnectTimeoutMs) }).await?;
/// let HandedOn { name, value, timeout, .. } = handed_on.ok_or("there is a deadline")?;
/// let call = Request::get("http://prices.internal/7").header(name, value).body(Body::empty())?;
/// assert_eq!(call.headers()["connect-timeout-ms"], "995");
/// assert_eq!(timeout, Duration::from_millis(995)); // for the client that makes the call
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandedOn {
    /// The name of the header that tells the other service.
    pub name: HeaderName,
    /// Its value: `timeout`, rounded down to what the header can say.
    pub value: HeaderValue,
    /// The limit for the client that makes the call.
    pub timeout: Duration,
}

impl Deadline {
    /// Returns what to send with a call, or [`None`] without a deadline.
    ///
    /// 5 ms of what is left are kept back for the way of the answers.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use std::time::Duration;
    /// use nexios::{CancelScope, CancelToken};
    /// use nexios_axum::{Deadline, DeadlineHeader};
    /// use tokio::time::Instant;
    ///
    /// let soon = Instant::now() + Duration::from_secs(1);
    /// CancelScope::new(CancelToken::new(), Some(soon))
    ///     .run(async {
    ///         if let Some(handed_on) = Deadline::current().hand_on(DeadlineHeader::ConnectTimeoutMs)? {
    ///             assert_eq!(handed_on.name, "connect-timeout-ms");
    ///             assert!(handed_on.timeout < Duration::from_secs(1));
    ///         }
    ///         Ok(())
    ///     })
    ///     .await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Interrupted::DeadlineExceeded`] if less than a millisecond would be left: do not make the call.
    pub fn hand_on(&self, header: DeadlineHeader) -> Result<Option<HandedOn>, Interrupted> {
        let Some(remaining) = self.remaining() else {
            return Ok(None);
        };
        let timeout = remaining.saturating_sub(RESERVE);
        if timeout < Duration::from_millis(1) {
            return Err(Interrupted::DeadlineExceeded);
        }
        Ok(Some(HandedOn {
            name: header.name().clone(),
            value: header.encode(timeout),
            timeout,
        }))
    }
}
