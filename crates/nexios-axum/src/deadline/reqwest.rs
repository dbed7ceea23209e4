use nexios::Interrupted;
use reqwest::RequestBuilder;

use super::{Deadline, DeadlineHeader};

/// Hands the deadline of the current scope on to a call that reqwest makes.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use nexios::{CancelScope, CancelToken};
/// use nexios_axum::{DeadlineHeader, WithDeadline};
/// use tokio::time::Instant;
///
/// let scope = CancelScope::new(CancelToken::new(), Some(Instant::now() + Duration::from_secs(1)));
/// let call = scope.run(async {
///     reqwest::Client::new().get("http://prices.internal/7").with_deadline(DeadlineHeader::GrpcTimeout)
/// });
/// let call = call.await?.build()?;
/// assert_eq!(call.headers()["grpc-timeout"], "995000u");
/// assert_eq!(call.timeout(), Some(&Duration::from_millis(995)));
/// # Ok(())
/// # }
/// ```
pub trait WithDeadline: Sized {
    /// Sets the header and the time limit of the call; without a deadline it is left as it is.
    ///
    /// It replaces a limit that was set before, and one that is set after it holds instead: give a shorter one of the call's own
    /// last.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_axum::{DeadlineHeader, Problem, WithDeadline};
    ///
    /// async fn price(http: &reqwest::Client) -> Result<reqwest::Response, Problem> {
    ///     let call = http.get("http://prices.internal/7").with_deadline(DeadlineHeader::EnvoyExpectedTimeoutMs)?;
    ///     call.send().await.map_err(|_| Problem::bad_gateway("There is no price today."))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Interrupted::DeadlineExceeded`] if no time is left: the call should not be made.
    fn with_deadline(self, header: DeadlineHeader) -> Result<Self, Interrupted>;
}

impl WithDeadline for RequestBuilder {
    fn with_deadline(self, header: DeadlineHeader) -> Result<Self, Interrupted> {
        Ok(match Deadline::current().hand_on(header)? {
            Some(handed_on) => self
                .header(handed_on.name, handed_on.value)
                .timeout(handed_on.timeout),
            None => self,
        })
    }
}
