//! Streams that end when they are told to.

use futures_util::{Stream, StreamExt};
use nexios::CancelToken;

use crate::punctual::punctual;

/// Passes `stream` on until `token` fires, then ends: [`ServiceLife::until_closing`](crate::ServiceLife::until_closing) with a token of your own.
pub fn until_cancelled<S: Stream>(
    token: &CancelToken,
    stream: S,
) -> impl Stream<Item = S::Item> + use<S> {
    let token = token.clone();
    stream.take_until(punctual(async move { token.cancelled().await }))
}
