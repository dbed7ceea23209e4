use std::{fmt, future::Future, sync::Arc};

use tokio::time::Instant;

use super::{
    limit::{current_limit, earlier},
    token::CancelToken,
};

tokio::task_local! {
    static CURRENT: CancelScope;
}

/// The token and deadline of one request or background task.
///
/// It is ambient while a future runs inside [`run`](Self::run): groups, races and pool calls made there
/// inherit both. `tokio::spawn` does not carry it over; a [`TaskGroup`](crate::TaskGroup) child sees the
/// scope of whoever polls it, normally its caller.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use nexios::{CancelReason, CancelScope, CancelToken, Interrupted, TaskGroup};
///
/// let request = CancelToken::new();
/// let scope = CancelScope::new(request.clone(), None);
/// let outcome = scope
///     .run(async {
///         let group = TaskGroup::<Interrupted>::new();
///         request.cancel(CancelReason::ClientDisconnected);
///         group.run(async { group.spawn(std::future::pending::<Result<(), _>>()).await }).await
///     })
///     .await;
/// assert_eq!(outcome, Err(Interrupted::Cancelled(CancelReason::ClientDisconnected)));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CancelScope {
    source: ScopeSource,
    deadline: Option<Instant>,
}

/// Where a scope's token comes from.
#[derive(Clone, Debug)]
enum ScopeSource {
    Token(CancelToken),
    OnDemand(Arc<dyn TokenSource>),
}

/// An owner that makes its token when somebody first asks for it.
///
/// A token costs allocations, and most requests and tasks end before anybody wants to know when to stop.
///
/// # Examples
///
/// ```
/// use std::sync::OnceLock;
/// use nexios::{CancelToken, TokenSource};
///
/// #[derive(Debug, Default)]
/// struct Request {
///     token: OnceLock<CancelToken>,
/// }
/// impl TokenSource for Request {
///     fn token(&self) -> CancelToken {
///         self.token.get_or_init(CancelToken::new).clone()
///     }
/// }
/// # let request = Request::default();
/// # request.token().cancel(nexios::CancelReason::Requested);
/// # assert!(request.token().is_cancelled());
/// ```
pub trait TokenSource: fmt::Debug + Send + Sync {
    /// The owner's token; every call returns the same one.
    fn token(&self) -> CancelToken;
}

impl CancelScope {
    /// Creates a scope; `None` means no deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::time::Duration;
    /// use nexios::{CancelScope, CancelToken};
    /// use tokio::time::Instant;
    ///
    /// let deadline = Instant::now() + Duration::from_secs(10);
    /// let scope = CancelScope::new(CancelToken::new(), Some(deadline));
    /// assert_eq!(scope.run(async { CancelScope::current_deadline() }).await, Some(deadline));
    /// # }
    /// ```
    #[must_use]
    pub fn new(token: CancelToken, deadline: Option<Instant>) -> Self {
        Self {
            source: ScopeSource::Token(token),
            deadline,
        }
    }

    /// Creates a scope whose token is only made when it is asked for; `None` means no deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, OnceLock};
    /// use nexios::{CancelScope, CancelToken, TokenSource};
    ///
    /// #[derive(Debug, Default)]
    /// struct Job {
    ///     token: OnceLock<CancelToken>,
    /// }
    /// impl TokenSource for Job {
    ///     fn token(&self) -> CancelToken {
    ///         self.token.get_or_init(CancelToken::new).clone()
    ///     }
    /// }
    ///
    /// let job = Arc::new(Job::default());
    /// let scope = CancelScope::on_demand(job.clone(), None);
    /// assert!(job.token.get().is_none());
    /// assert!(!scope.token().is_cancelled());
    /// assert!(job.token.get().is_some());
    /// ```
    #[must_use]
    pub fn on_demand(source: Arc<dyn TokenSource>, deadline: Option<Instant>) -> Self {
        Self {
            source: ScopeSource::OnDemand(source),
            deadline,
        }
    }

    /// The innermost scope that this code runs in, if any.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nexios::{CancelReason, CancelScope, CancelToken};
    ///
    /// let request = CancelToken::new();
    /// let scope = CancelScope::new(request.clone(), None);
    /// request.cancel(CancelReason::ClientDisconnected);
    /// let inside = scope.run(async { CancelScope::current() }).await.ok_or("there is one")?;
    /// assert_eq!(inside.token().reason(), Some(CancelReason::ClientDisconnected));
    /// assert!(CancelScope::current().is_none());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The instant by which this code should have ended: the earlier of the current scope's deadline and the time limits
    /// of the groups and races around it. It is what a call to another service may take.
    ///
    /// A child of a [`TaskGroup`](crate::TaskGroup) sees its group's [`timeout`](crate::TaskGroupBuilder::timeout) here, a
    /// [`Candidate`](crate::Candidate) its own and that of its [`Race`](crate::Race); a child that was spawned with [`spawn_parallel`](crate::TaskGroup::spawn_parallel) sees neither scope nor group.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nexios::Interrupted> {
    /// use std::time::Duration;
    /// use nexios::{CancelScope, Interrupted, TaskGroup};
    /// use tokio::time::Instant;
    ///
    /// let group = TaskGroup::builder().timeout(Duration::from_secs(2)).build::<Interrupted>();
    /// let deadline = group.run(async { group.spawn(async { Ok(CancelScope::current_deadline()) }).await }).await?;
    /// assert!(deadline.is_some_and(|deadline| deadline <= Instant::now() + Duration::from_secs(2)));
    /// assert_eq!(CancelScope::current_deadline(), None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn current_deadline() -> Option<Instant> {
        let scope = CURRENT.try_with(Self::deadline).ok().flatten();
        earlier(scope, current_limit())
    }

    /// Runs `future` with this scope as the current one, whatever its outcome.
    ///
    /// The scope itself cancels nothing: what was made inside watches the token.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{CancelScope, CancelToken};
    ///
    /// let scope = CancelScope::new(CancelToken::new(), None);
    /// // What is spawned has the scope if it is told so.
    /// let child = tokio::spawn(scope.run(async { CancelScope::current().is_some() }));
    /// assert!(child.await.is_ok_and(|has_scope| has_scope));
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As safe as `future`, which is dropped with it.
    pub fn run<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        // Not an `async fn`: that would hold the future twice, once as argument and once as awaited.
        CURRENT.scope(self.clone(), future)
    }

    /// Calls `f` with this scope as the current one.
    pub(crate) fn enter<R>(self, f: impl FnOnce() -> R) -> R {
        // The threads of a model share one real thread, and would mix up what is current there.
        if cfg!(nexios_shuttle) {
            f()
        } else {
            CURRENT.sync_scope(self, f)
        }
    }

    /// The token of the scope.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios::{CancelReason, CancelScope, CancelToken};
    ///
    /// let scope = CancelScope::new(CancelToken::new(), None);
    /// let query = scope.token().child(); // ends with the request, or before it
    /// scope.token().cancel(CancelReason::Shutdown);
    /// assert!(query.is_cancelled());
    /// ```
    #[must_use]
    pub fn token(&self) -> CancelToken {
        match &self.source {
            ScopeSource::Token(token) => token.clone(),
            ScopeSource::OnDemand(source) => source.token(),
        }
    }

    /// The instant by which the work should have ended, on tokio's clock.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use nexios::{CancelScope, CancelToken};
    /// use tokio::time::Instant;
    ///
    /// let now = Instant::now();
    /// assert_eq!(CancelScope::new(CancelToken::new(), Some(now)).deadline(), Some(now));
    /// assert_eq!(CancelScope::new(CancelToken::new(), None).deadline(), None);
    /// # }
    /// ```
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}
