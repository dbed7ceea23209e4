use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio_util::sync::CancellationToken;

use crate::punctual::punctual;

use super::reason::CancelReason;

/// A cancellation signal that carries its reason.
///
/// Clones are the same token. A [`child`](Self::child) fires with its parent, but not the other way
/// round. It wraps tokio-util's [`CancellationToken`] and converts from and to it; if you never read the
/// reason, that type is the simpler tool.
///
/// # Examples
///
/// ```
/// use nexios::{CancelReason, CancelToken};
///
/// let request = CancelToken::new();
/// let query = request.child();
/// request.cancel(CancelReason::ClientDisconnected);
/// request.cancel(CancelReason::Shutdown); // too late: the first cause stays
/// assert_eq!(query.reason(), Some(CancelReason::ClientDisconnected));
/// ```
#[derive(Clone, Debug)]
pub struct CancelToken {
    node: Arc<Node>,
}

#[derive(Debug)]
struct Node {
    /// Wakes the waiters and reaches the children.
    signal: CancellationToken,
    /// The reason as a byte, zero while there is none. Written once, and always before `signal` fires
    /// through this node.
    reason: AtomicU8,
    /// Where to look for the reason when `signal` was fired from above.
    parent: Option<Arc<Node>>,
}

impl Node {
    fn written(&self) -> Option<CancelReason> {
        // Acquire pairs with the release in `freeze`: who sees the reason sees what was done before it.
        CancelReason::from_byte(self.reason.load(Ordering::Acquire))
    }

    /// Writes the reason unless there is one; returns the one that counts.
    fn freeze(&self, reason: CancelReason) -> CancelReason {
        // AcqRel: the writer publishes what it did before cancelling, the loser sees the winner's.
        match self
            .reason
            .compare_exchange(0, reason.to_byte(), Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => reason,
            Err(first) => CancelReason::from_byte(first).unwrap_or(reason),
        }
    }
}

impl Drop for Node {
    /// Takes a long chain of ancestors apart in a loop, so that dropping it needs no deep stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(parent) = next {
            next = Arc::into_inner(parent).and_then(|mut parent| parent.parent.take());
        }
    }
}

impl CancelToken {
    /// Creates a token that nobody has cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// let token = nexios::CancelToken::new();
    /// assert_eq!(token.reason(), None);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::with(CancellationToken::new(), None)
    }

    fn with(signal: CancellationToken, parent: Option<Arc<Node>>) -> Self {
        Self {
            node: Arc::new(Node {
                signal,
                reason: AtomicU8::new(0),
                parent,
            }),
        }
    }

    /// Creates a token that fires when this one does, with the same reason, and can fire alone.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios::{CancelReason, CancelToken};
    ///
    /// let request = CancelToken::new();
    /// let (query, mail) = (request.child(), request.child());
    /// query.cancel(CancelReason::Requested);
    /// assert!(!request.is_cancelled() && !mail.is_cancelled());
    /// request.cancel(CancelReason::Shutdown);
    /// assert_eq!(mail.reason(), Some(CancelReason::Shutdown));
    /// ```
    #[must_use]
    pub fn child(&self) -> Self {
        Self::with(self.node.signal.child_token(), Some(self.node.clone()))
    }

    /// Fires the token. Only the first call has an effect, and none after a parent fired.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios::{CancelReason, CancelToken};
    ///
    /// let token = CancelToken::new();
    /// token.cancel(CancelReason::Deadline);
    /// token.cancel(CancelReason::Shutdown); // changes nothing
    /// assert_eq!(token.reason(), Some(CancelReason::Deadline));
    /// ```
    pub fn cancel(&self, reason: CancelReason) {
        if self.reason().is_none() {
            self.node.freeze(reason);
            self.node.signal.cancel();
        }
    }

    /// Waits until the token fires and returns the reason.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{CancelReason, CancelToken};
    ///
    /// let token = CancelToken::new();
    /// let watcher = tokio::spawn({
    ///     let token = token.clone();
    ///     async move { token.cancelled().await }
    /// });
    /// token.cancel(CancelReason::Requested);
    /// assert!(watcher.await.is_ok_and(|reason| reason == CancelReason::Requested));
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future loses nothing, the token stays as it is.
    pub async fn cancelled(&self) -> CancelReason {
        // A reason is written before the signal fires, so the answer may be there already.
        if let Some(reason) = self.reason() {
            return reason;
        }
        punctual(self.node.signal.cancelled()).await;
        self.reason().unwrap_or(CancelReason::Requested)
    }

    /// As [`cancelled`](Self::cancelled), as a future that borrows nothing: for a task of its own, or a server's
    /// `with_graceful_shutdown`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{CancelReason, CancelToken};
    ///
    /// let token = CancelToken::new();
    /// let watcher = tokio::spawn(token.clone().cancelled_owned());
    /// token.cancel(CancelReason::Shutdown);
    /// assert!(watcher.await.is_ok_and(|reason| reason == CancelReason::Shutdown));
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future loses nothing, and the other clones of the token stay as they are.
    pub async fn cancelled_owned(self) -> CancelReason {
        self.cancelled().await
    }

    /// Whether the token has fired.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios::{CancelReason, CancelToken};
    ///
    /// let token = CancelToken::new();
    /// let mut rows = 0;
    /// while !token.is_cancelled() {
    ///     rows += 1;
    ///     if rows == 3 {
    ///         token.cancel(CancelReason::Requested);
    ///     }
    /// }
    /// assert_eq!(rows, 3);
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.reason().is_some()
    }

    /// The reason, if the token has fired. It never changes afterwards.
    ///
    /// A token fired through tokio-util's own `cancel` says [`CancelReason::Requested`].
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios::{CancelReason, CancelToken};
    /// use tokio_util::sync::CancellationToken;
    ///
    /// let foreign = CancellationToken::new();
    /// let token = CancelToken::from(foreign.clone());
    /// assert_eq!(token.reason(), None);
    /// foreign.cancel(); // knows no reason
    /// assert_eq!(token.reason(), Some(CancelReason::Requested));
    /// ```
    #[must_use]
    pub fn reason(&self) -> Option<CancelReason> {
        if let Some(reason) = self.node.written() {
            return Some(reason);
        }
        if !self.node.signal.is_cancelled() {
            return None;
        }
        // Fired from above. The nearest ancestor with a reason is the one that fired first.
        let ancestors = || std::iter::successors(Some(&self.node), |node| node.parent.as_ref());
        let found = ancestors().find_map(|node| node.written());
        let Some(reason) = found else {
            return Some(self.node.freeze(CancelReason::Requested));
        };
        // Freezing it keeps the answer stable, whatever is cancelled later. On the whole way, which fires with the
        // same cause: if every token of a chain is asked, each step of the way is made once.
        for node in ancestors().take_while(|node| node.written().is_none()) {
            node.freeze(reason);
        }
        self.node.written()
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

impl From<CancellationToken> for CancelToken {
    /// The same signal: cancelling either fires both.
    fn from(signal: CancellationToken) -> Self {
        Self::with(signal, None)
    }
}

impl From<CancelToken> for CancellationToken {
    /// The same signal, without the reason.
    fn from(token: CancelToken) -> Self {
        token.node.signal.clone()
    }
}
