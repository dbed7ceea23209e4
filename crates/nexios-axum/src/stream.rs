//! Streams that end when they are told to.

use futures_util::{Stream, StreamExt};
use nexios::CancelToken;

use crate::punctual::punctual;

/// Passes `stream` on until `token` fires, then ends: [`ServiceLife::until_closing`](crate::ServiceLife::until_closing) with a token of your own.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::{StreamExt, stream};
/// use nexios::{CancelReason, CancelToken};
/// use nexios_axum::until_cancelled;
///
/// let logged_out = CancelToken::new();
/// let mut news = std::pin::pin!(until_cancelled(&logged_out, stream::repeat("news")));
/// assert_eq!(news.next().await, Some("news"));
/// logged_out.cancel(CancelReason::Requested);
/// assert_eq!(news.next().await, None);
/// # Ok(())
/// # }
/// ```
pub fn until_cancelled<S: Stream>(
    token: &CancelToken,
    stream: S,
) -> impl Stream<Item = S::Item> + use<S> {
    let token = token.clone();
    stream.take_until(punctual(async move { token.cancelled().await }))
}
